#COBALT -n 4 -t 10
./a.out
