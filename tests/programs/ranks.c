/* One rank of a test: says in one line of JSON where it is and what it has, and checks a collective.
 *
 * Its argument, if any, is how many seconds it stays. Exit code 3: the collective is wrong.
 */
#define _GNU_SOURCE
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

static const char *said(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

int main(int argc, char **argv) {
    static const char *const names[] = {
        "PSIJ_RANK", "PSIJ_LOCAL_RANK", "PSIJ_NUM_RANKS", "PSIJ_CPUS", "PSIJ_GPUS", "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "OMP_NUM_THREADS", "SLURM_STEP_ID", "TEST_WORD"};
    int rank, size, sum = 0, length = 0;
    char host[256], line[4096];
    cpu_set_t cores;
    double began = now();

    MPI_Init(&argc, &argv);
#if defined(OMPI_MAJOR_VERSION) && OMPI_MAJOR_VERSION == 5
    usleep(500000); /* a rank that is still in MPI_Init dies of a message (open-mpi/ompi issue 12495: address 0xe0) */
#endif
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    gethostname(host, sizeof host);
    sched_getaffinity(0, sizeof cores, &cores);
    if (argc > 1) usleep((useconds_t)(atof(argv[1]) * 1e6));

    length += sprintf(line + length, "{\"rank\": %d, \"size\": %d, \"sum\": %d, \"host\": \"%s\", \"cores\": [", rank,
                      size, sum, host);
    for (int core = 0, some = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &cores)) length += sprintf(line + length, "%s%d", some++ ? ", " : "", core);
    length += sprintf(line + length, "], \"began\": %.6f, \"ended\": %.6f", began, now());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        length += sprintf(line + length, ", \"%s\": \"%.200s\"", names[i], said(names[i]));
    sprintf(line + length, "}\n");
    fputs(line, stdout);
    fflush(stdout);
    MPI_Finalize();
    return sum == size * (size - 1) / 2 ? 0 : 3;
}
