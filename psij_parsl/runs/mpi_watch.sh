# psij-mpi-watch RANK_PID NUM_RANKS, in bash: an interpreter loads its MPI when it runs. Is it one that finds its other
# ranks by what this launch gives it? Files that the launcher left open are closed first (POSIX sh cannot, above 9), or
# it would wait for this to end. rank_wrapper.sh starts it, as the text psij_mpi_watch.
rank=$0 num_ranks=$1
for file in /proc/$$/fd/*; do
  file=${file##*/}
  [ "$file" -lt 3 ] || eval "exec $file>&-"
done
for pause in 0.25 0.25 0.5 1 2 4 8; do
  sleep "$pause" && kill -0 "$rank" || break
  for pid in "$rank" $(cat "/proc/$rank/task/$rank/children"); do
    libraries=$(grep -Eo "lib(mpich|mpi|pmix|pmi2?)\.so[.0-9]*" "/proc/$pid/maps" | sort -u)
    case $libraries in
    *libmpich.so* | *libmpi.so.12*)
      means=$PMI_RANK$PMI_FD$PMI_PORT$PMI_CONTROL_PORT$ALPS_APP_PE$PALS_RANKID mpi=MPICH
      case $libraries in *libpmix.so*) means=$means$PMIX_NAMESPACE ;; esac ;;
    *libmpi.so*)
      means=$PMIX_NAMESPACE$PMIX_RANK$JSM_NAMESPACE_RANK mpi="Open MPI"
      case $libraries in *libpmi*.so*) means=$means$PMI_FD ;; esac ;;
    *) continue ;;
    esac
    [ -n "$means" ] || echo "psij: this program has loaded $mpi, which this launch does not serve: each of" \
      "the $num_ranks ranks is a run of one rank. Choose the --launcher of that MPI." >>"/proc/$pid/fd/2"
    break 2
  done
done
