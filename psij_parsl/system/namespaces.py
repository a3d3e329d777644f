"""User namespaces, in which the files of many users look as if one owned them. https://man7.org/linux/man-pages/man7/user_namespaces.7.html"""

from __future__ import annotations

import os
from dataclasses import dataclass

_ALL = 2**32 - 1  # user ids


@dataclass(frozen=True)
class UserNamespace:
    """The one of this process. `stranger` is the id under which it sees all users that it does not know, None if there
    are none such; `has_root`: it knows root."""

    stranger: int | None = None
    has_root: bool = True

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
        if sum(count for _, _, count in ranges) >= _ALL:
            return cls()
        return cls(stranger, any(first == 0 for first, _, _ in ranges))

    def is_strange(self, uid: int) -> bool:
        """Whether files of that id may be anybody's."""
        return uid == self.stranger and uid != os.geteuid()

    def may_be_root(self, uid: int) -> bool:
        """Whether files of that id may be root's, which cannot be told."""
        return self.is_strange(uid) and not self.has_root
