# cython: language_level=3
# What the extension uses of csrc/convkit.h.
from libc.stddef cimport ptrdiff_t, size_t


cdef extern from "convkit.h" nogil:
    struct ck_scratch:
        size_t shared
        size_t per_rank
        size_t packed

    struct ck_kernels:
        const char *isa
        int real_bytes
        int vector_bytes
        void **scratch

    struct ck_field:
        const char *name
        size_t offset
        char kind

    struct ck_layout:
        const char *name
        size_t size
        const ck_field *fields
        int n_fields

    struct ck_instruction:
        int kernel_id
        int barrier
        const void *op

    struct ck_program:
        const ck_kernels *kernels
        const ck_instruction *instructions
        ptrdiff_t n_instructions
        ptrdiff_t first_update
        ck_scratch need

    struct ck_probe:
        void *y
        ptrdiff_t count
        ptrdiff_t repeats

    struct ck_stream_pass:
        void *arrays[8]
        ptrdiff_t lines[8]
        ptrdiff_t reads
        ptrdiff_t writes
        ptrdiff_t kilobytes

    struct ck_streams:
        const void *passes
        ptrdiff_t n
        ptrdiff_t past_caches

    int CK_KERNEL_COUNT
    int CK_probe_fma
    int CK_probe_streams

    void *ck_memory(size_t nbytes)
    void *ck_result_memory(size_t nbytes)
    void ck_result_memory_free(void *data, size_t nbytes)
    void ck_set_num_threads(int threads)
    int ck_get_num_threads()
    int ck_has_openmp()
    size_t ck_team_scratch_bytes(ck_scratch need, int threads)

    const char *ck_isa_name(int index)
    int ck_isa_built(int index)
    int ck_isa_usable(int index)
    const ck_kernels *ck_kernels_for(int isa_index, int real_bytes)

    const ck_layout *ck_layout_of(const char *struct_name)
    const char *ck_kernel_name(int id)
    const char *ck_kernel_struct(int id)

    int ck_run(const ck_kernels *kernels, int kernel_id, const void *op)
    ck_scratch ck_program_scratch(const ck_program *program)
    int ck_program_run(const ck_program *program, void *scratch, int (*poll)() noexcept nogil)
