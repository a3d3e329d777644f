"""Where jobs' folders go, as a site says it: with variables, and with the job's project."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ..errors import SiteError
from ..system.files import user_home

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def expanded(text: str, origin: str, environ: Mapping[str, str] = os.environ, *, here: bool = True) -> str:
    """The directory with variables expanded, and `{project}` left as it is.

    `origin` says where the site names it. Raises `SiteError` for what is unknown on this host; unless it is wanted
    `here`, a variable that is not set is left as it is, too.
    """
    environ = {**environ, **_user(environ)}
    missing = [one or other for one, other in _VARIABLE.findall(text) if not environ.get(one or other)]
    if missing and not here:
        return text
    if missing:
        raise SiteError(
            f"{origin}: spool is {text}, and {' and '.join(missing)} is not set here, or empty",
            hint=f"set {missing[0]}, or name another directory in a site file of your own",
        )
    path = _VARIABLE.sub(lambda match: environ[match[1] or match[2]], text)
    path = user_home(environ) + path[1:] if path == "~" or path.startswith("~/") else os.path.expanduser(path)
    if not os.path.isabs(path):
        raise SiteError(
            f"{origin}: spool is {path!r}, which is no absolute path",
            hint="jobs run in other directories: begin it with / or ~ or a variable",
        )
    return path


def _user(environ: Mapping[str, str]) -> dict[str, str]:
    """USER where it is not set, or empty, as under cron and in some containers."""
    import pwd

    try:
        return {} if environ.get("USER") else {"USER": pwd.getpwuid(os.geteuid()).pw_name}
    except KeyError:
        return {}
