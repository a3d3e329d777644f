#!/bin/bash -l
#$ -N train_unet
#$ -cwd -V
#$ -l gpu=2,h_rt=36:00:00
#$ -l h_vmem=12G            # for each slot
#$ -l exclusive
#$ -l arch=lx-amd64
#$ -q gpu.q@@a100 -P vision
#$ -o logs/$JOB_NAME.$JOB_ID.log -j y
#$ -e logs/ignored.err
#$ -m bea -M user@example.org
#$ -l h_cpu=100:0:0
#$-N not_counted
# $ -N not_counted
  #$ -N not_counted
##$ -N not_counted
#$ a remark, which is no option

module load cuda/12.4
python train.py --gpus 2
