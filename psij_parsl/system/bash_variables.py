"""The variables of bash's own."""

#: Variables that bash computes or keeps read-only: a value given for them never reaches a command.
BASH_OWN = frozenset(
    (
        *("BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_CMDS", "BASH_COMMAND"),
        *("BASH_MONOSECONDS", "BASH_LINENO", "BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO", "DIRSTACK"),
        *("EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME", "GROUPS", "HISTCMD", "LINENO", "OPTIND", "PPID"),
        *("RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "UID"),
    )
)
