#!/bin/bash
#OAR -n train unet
#OAR -l {gpu_model='A100'}/host=1/gpu=2,walltime=12
#OAR -p cluster='rome' AND gpu_mem >= 40000
#OAR -q production
#OAR --project vision-2
#OAR -O logs/%jobname%.%jobid%.out
#OAR -E logs/{best}.%jobid%.err
#OAR -t besteffort
#OAR --checkpoint 600
#OAR --signal 10
#OAR --notify mail:user@example.org

module load cuda
trap 'touch stop' USR1
python train.py & wait
