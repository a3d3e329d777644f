"""User namespaces, in which the files of many users look as if one owned them. https://man7.org/linux/man-pages/man7/user_namespaces.7.html"""

from __future__ import annotations

from typing import NamedTuple

_ALL = 2**32 - 1  # user ids


class UserNamespace(NamedTuple):
    """The one of this process. `stranger` is the id that stands for all users that it, or a file server, does not know,
    None if there is no such id."""

    stranger: int | None = None
    knows_all: bool = True
    knows_root: bool = True

    @classmethod
    def here(cls) -> UserNamespace:
        """As /proc has it; where it has nothing, there are no namespaces."""
        try:
            with open("/proc/self/uid_map", encoding="ascii") as file:
                ranges = [tuple(map(int, line.split())) for line in file]
            with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
                stranger = int(file.read())
        except (OSError, ValueError):
            return cls()
        knows_all = sum(count for _, _, count in ranges) >= _ALL
        return cls(stranger, knows_all, any(first == 0 for first, _, _ in ranges))

    def is_strange(self, uid: int) -> bool:
        """Whether files of that id may be anybody's, though it be the id of this process."""
        return uid == self.stranger and not self.knows_all

    def may_be_root(self, uid: int) -> bool:
        """Whether files of that id may be root's, which cannot be told."""
        return self.is_strange(uid) and not self.knows_root
