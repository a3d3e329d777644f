"""The option lines of job scripts, such as `#SBATCH -N 2` and `#PBS -l select=4`, read into our own words.

Each platform's folder has one table of the options of its submit command (`Platform.directives`). A table tells of each
option which of our words it sets, which of the platform's own parameters has its value, and what becomes of it on
another manager. So it reads the scripts that people have, says which of our flags stands for an option, and refuses the
options that a job of ours must not have.

`words.WORDS` are the words that all tables share; a word that a manager alone has is a parameter of its platform.
"""
