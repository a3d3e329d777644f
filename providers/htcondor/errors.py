"""Error patterns of HTCondor's commands; the first that matches counts, so the most specific come first."""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern

ERROR_PATTERNS = (
    ErrorPattern(
        r"unknown host|unable to find schedd",
        limit="schedd",
        client=True,
        hint="`condor_status -schedd` lists the schedds",
    ),
    ErrorPattern(  # the question never left
        r"[Cc]an't find address (of|for) (local )?schedd|[Cc]an't find address of|Failed to connect to"
        r"|[Ff]ailed to (fetch ads from|query)|Can't connect to|ConnectQ|Connection refused",
        transient=True,
        hint="HTCondor's schedd does not answer; `condor_q` shows when it does again",
    ),
    ErrorPattern(
        r"MAX_JOBS_(SUBMITTED|PER_OWNER|PER_SUBMISSION)|exceed(s|ed)? .*(limit|MAX_JOBS)",
        limit="account limits",
        hint="a limit on your jobs: wait for some to end, or submit fewer at once",
    ),
    ErrorPattern(
        r"(?s)Failed to commit job submission.*ERROR: \S.*|SUBMIT_REQUIREMENT|User is disabled",
        limit="policy",
        hint="the pool's rules refuse it; its own words say why",
    ),
    ErrorPattern(  # without a reason: the connection was lost while the schedd wrote it down
        r"SECMAN:2\d\d\d|No result found|Failed to commit job submission|Queue transaction failed|[Cc]onnection (reset|closed|timed out)|Broken pipe"
        r"|Failed to (set|create) \w+|\btime-?out\b|\btimed out\b",
        transient=True,
        accepted=True,
        hint="HTCondor may have taken it; it is looked for before it is sent again",
    ),
    ErrorPattern(
        r"[Aa]uthenticat|AUTHENTICATE|[Aa]uthoriz|[Pp]ermission denied|SECMAN|not held to be released",
        limit="permission",
        hint="`condor_ping -verbose WRITE` shows what the schedd thinks of you",
    ),
    ErrorPattern(r"accounting_?group|AcctGroup|AccountingGroup", limit="project", hint="choose another --account"),
    ErrorPattern(r"(?i)\brequest_?memory =", limit="memory_per_node", hint="see --mem"),
    ErrorPattern(r"(?m)^\s*Requirements = ", limit="requirements", hint="see -X requirements"),
    ErrorPattern(
        r"(?m)^ERROR: .*([Pp]arse|on Line \d+|[Ii]nvalid|[Ff]ailed (submission|to open)|[Nn]o |[Cc]an't (access|open)| must |does not exist)"
        r"|^condor_submit: |^Usage: condor_submit",
        limit="description",
        client=True,
        hint="`psij-run render` shows what it refused: the lines #HTCONDOR",
    ),
)
