#!/usr/bin/env lua
-- flux: --nslots=16 --cores-per-slot=2
--
-- flux: --time-limit=90s
-- flux: -q debug --taskmap=cyclic
-- flux: --flags=waitable -lu
-- flux: --urgency=hold
-- flux: --input=params.txt
-- flux: -S duration=3600 -S .system.job.name=sweep
for seed = 1, 16 do
  os.execute("flux submit -n1 -c2 ./point " .. seed)
end
os.execute("flux queue drain")
