#!/bin/csh -f
#flux: --nodes=4
#flux: --env=-* --env=PATH --env=OMP_NUM_THREADS=4
#    flux: --nodes=9
#flux: --dependency=afterok:ƒ2Cfhn1 --dependency=afterany:f3Dg

# hosts that were good last time
#flux:--requires="hosts:tuo[11-14]"   --requires='-host:tuo13'
#flux: --requires='hbm|big' --require=rack7
#flux: --signal=SIGUSR2@3m --begin-time="2026-12-01 8:30am"
#flux: --cwd='/scratch/u/run 7' -t infinity
#flux: --dump --broker-opts=-Slog-stderr-level=6
setenv OMP_NUM_THREADS 4
#flux: --nodes=99
flux run -N4 ./relax
