"""What scripts of OAR expect of the jobs that they become."""

from psij_parsl.platforms.directives.habits import Habits

HABITS = Habits(
    output=("OAR.{id}.stdout", "OAR.{id}.stderr"),
    element_output=("OAR.{id}.stdout", "OAR.{id}.stderr"),
    variables={"OAR_JOB_ID": "$PSIJ_NATIVE_ID", "OAR_JOB_NAME": "{name}", "OAR_WORKDIR": "$PWD"},
    array_variables={"OAR_ARRAY_ID": "$PSIJ_ARRAY_ID"},
    index_variables={"OAR_ARRAY_INDEX": "$PSIJ_ARRAY_INDEX"},
    own_variables={"OAR_JOB_NAME": "{name}", "OAR_WORKDIR": "$PWD"},
    commands=("oarsh", "oarsub", "oarstat", "oardel", "oarprint"),
)
