# Stands beside one run: psij-guard MARK [COMMAND...]. Its stdin is a pipe whose other end its owner alone holds.
# When that ends without the word `done`, the owner was killed: then no process of the run may remain on this host,
# and COMMAND, if there is one, ends those on others.
trap '' INT TERM HUP QUIT USR1 USR2
mark=$1 session=
shift
while read -r word rest; do
  case $word in
  done) exit 0 ;;
  session) session=$rest ;;
  esac
done
[ $# = 0 ] || "$@" </dev/null >/dev/null 2>&1 &
found() {
  grep -lzsx "PSIJ_RUN=$mark" /proc/[0-9]*/environ | tr -cd '0-9\n'
  [ -z "$session" ] || sed -n "s/^\([0-9]*\) (.*) [^Z] [0-9]* [0-9]* $session .*/\1/p" /proc/[0-9]*/stat 2>/dev/null
}
tries=0 none=0
while [ "$tries" -lt 100 ] && [ "$none" -lt 3 ]; do  # one that is just becoming another program shows no environment
  pids=$(found)  # it fails where one of them ended meanwhile
  none=$((none + 1))
  [ -z "$pids" ] || { none=0; kill -s KILL $pids 2>/dev/null; }
  tries=$((tries + 1))
  sleep 0.05
done
wait
