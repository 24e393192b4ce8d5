# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The door to the C kernels: run one op, run a program, choose the ISA. No maths here."""

import numpy as np

from cpython.buffer cimport (
    PyBUF_STRIDED_RO, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
)
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

cdef extern from "Python.h":
    # Declared without `except`: an error that a handler raises stays set until run() returns it.
    int PyErr_CheckSignals()

cdef extern from *:
    """
    #include <time.h>
    #if defined(__clang__)
    #define CK_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define CK_COMPILER "gcc " __VERSION__
    #else
    #define CK_COMPILER "unknown"
    #endif

    static double ck_seconds(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    }
    """
    const char *CK_COMPILER
    double ck_seconds() nogil

cdef int _isa = 0

compiler = CK_COMPILER.decode()
has_openmp = bool(ck_has_openmp())
kernel_ids = {ck_kernel_name(i).decode(): i for i in range(CK_KERNEL_COUNT)}
kernel_structs = {ck_kernel_name(i).decode(): ck_kernel_struct(i).decode()
                  for i in range(CK_KERNEL_COUNT)}


cdef tuple _layout(const ck_layout *layout):
    return tuple((layout.fields[i].name.decode(), layout.fields[i].offset // 8,
                  chr(layout.fields[i].kind)) for i in range(layout.n_fields))


layouts = {name: _layout(ck_layout_of(name.encode()))
           for name in {*kernel_structs.values(), "ck_parameter"}}


def isas():
    """List the ISAs of this architecture, rising: (name, built, usable here)."""
    found = []
    cdef int i = 0
    while ck_isa_name(i) is not NULL:
        found.append((ck_isa_name(i).decode(), bool(ck_isa_built(i)), bool(ck_isa_usable(i))))
        i += 1
    return found


def select_isa(name):
    """Make `name` the active ISA; it must be a usable one. For the start of the process only."""
    global _isa
    for i, (known, _built, usable) in enumerate(isas()):
        if known == name and usable:
            _isa = i
            return
    raise ValueError(f"{name!r} is not a usable ISA")


def active_isa():
    """Return the name of the ISA whose kernels run."""
    return ck_isa_name(_isa).decode()


def set_num_threads(int threads):
    """Set the size of the team that later calls ask for."""
    ck_set_num_threads(threads)


def get_num_threads():
    """Return the size of the team that calls ask for."""
    return ck_get_num_threads()


def kernel_uses_scratch(int kernel_id):
    """Say whether a kernel may use the scratch memory that consecutive instructions share."""
    return ck_kernels_for(_isa, 4).scratch[kernel_id] is not NULL


def packed_bytes(int kernel_id, const uint64_t[::1] slots not None, int real_bytes):
    """Return how many bytes the weights of one op, whose struct is `slots`, have when laid out."""
    cdef ck_instruction instruction
    cdef ck_program program
    instruction.kernel_id = kernel_id
    instruction.op = &slots[0]
    program.kernels = ck_kernels_for(_isa, real_bytes)
    program.instructions = &instruction
    program.n_instructions = 1
    return ck_program_scratch(&program).packed


def run(int kernel_id, const uint64_t[::1] slots not None, int real_bytes):
    """Run one op whose struct is `slots`; the arrays it points to must outlive the call."""
    cdef const ck_kernels *kernels = ck_kernels_for(_isa, real_bytes)
    cdef int failed
    with nogil:
        failed = ck_run(kernels, kernel_id, &slots[0])
    if failed:
        raise MemoryError("convkit: no memory for a kernel's scratch")


def run_packed(int kernel_id, bytes struct not None, int real_bytes):
    """Run one op whose struct are these bytes, likewise."""
    cdef const ck_kernels *kernels = ck_kernels_for(_isa, real_bytes)
    cdef const char *op = struct
    cdef int failed
    with nogil:
        failed = ck_run(kernels, kernel_id, op)
    if failed:
        raise MemoryError("convkit: no memory for a kernel's scratch")


cdef class _Block:
    """Aligned memory for arrays that gives itself back; that of results is used again."""
    cdef void *data
    cdef Py_ssize_t nbytes
    cdef bint of_result

    def __cinit__(self, Py_ssize_t nbytes, bint of_result=False):
        self.nbytes = nbytes
        self.of_result = of_result
        self.data = (ck_result_memory if of_result else ck_memory)(max(nbytes, 1))
        if self.data is NULL:
            raise MemoryError(f"convkit: cannot allocate {nbytes} bytes")

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.nbytes, False, flags)

    def __dealloc__(self):
        if self.of_result and self.data is not NULL:
            ck_result_memory_free(self.data, max(self.nbytes, 1))
        else:
            free(self.data)


def aligned_empty(Py_ssize_t nbytes):
    """Return a zeroed uint8 array whose first byte is 64-byte aligned; huge pages when large."""
    array = np.ndarray(nbytes, np.uint8, _Block(nbytes))
    array[...] = 0
    return array


def result_memory(Py_ssize_t nbytes):
    """Return such memory for a result, not zeroed, as a buffer: often that of one that is gone."""
    return _Block(nbytes, True)


def address(array):
    """Return where an array's data begin; 0 for None."""
    cdef Py_buffer view
    if array is None:
        return 0
    PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
    begin = <size_t> view.buf
    PyBuffer_Release(&view)
    return begin


def rows_inside(const int64_t[::1] index not None, int64_t rows):
    """Say whether all of index lie in [0, rows)."""
    cdef Py_ssize_t i
    for i in range(index.shape[0]):
        if index[i] < 0 or index[i] >= rows:
            return False
    return True


cdef int _poll() noexcept nogil:
    # Called on the thread that entered run(), so a handler may raise; the error stays set.
    with gil:
        return PyErr_CheckSignals()


cdef int _raise_pending() except -1:
    return -1


cdef class Program:
    """Instructions over op structs that live in one array of slots.

    Slots may be changed between runs. Instructions from `first_update` on run wholly or not at all.
    """
    cdef ck_program program
    cdef ck_instruction *instructions
    cdef const uint64_t[::1] slots
    cdef _Block scratch
    cdef int threads

    def __cinit__(self, int real_bytes, const int64_t[::1] kernel_ids not None,
                  const int64_t[::1] slot_offsets not None, const int64_t[::1] barriers not None,
                  const uint64_t[::1] slots not None, ptrdiff_t first_update):
        cdef ptrdiff_t n = kernel_ids.shape[0]
        cdef ptrdiff_t i
        if slot_offsets.shape[0] != n or barriers.shape[0] != n or not 0 <= first_update <= n:
            raise ValueError("Program: kernel_ids, slot_offsets and barriers must agree in length")
        self.slots = slots
        self.threads = 0
        self.instructions = <ck_instruction *> malloc(max(n, 1) * sizeof(ck_instruction))
        if self.instructions is NULL:
            raise MemoryError()
        for i in range(n):
            if not (0 <= slot_offsets[i] < slots.shape[0]
                    and 0 <= kernel_ids[i] < CK_KERNEL_COUNT):
                raise ValueError("Program: an instruction lies outside of the slots")
            self.instructions[i].kernel_id = <int> kernel_ids[i]
            self.instructions[i].barrier = barriers[i] != 0
            self.instructions[i].op = &slots[slot_offsets[i]]
        self.program.kernels = ck_kernels_for(_isa, real_bytes)
        self.program.instructions = self.instructions
        self.program.n_instructions = n
        self.program.first_update = first_update
        self.program.need = ck_program_scratch(&self.program)

    def __dealloc__(self):
        free(self.instructions)

    @property
    def scratch_bytes(self):
        """Bytes of scratch that the program holds for the present number of threads."""
        return ck_team_scratch_bytes(self.program.need, ck_get_num_threads())

    def run(self):
        """Run all instructions in one parallel region.

        Raises what a signal handler raised when it was stopped before the update, MemoryError.
        """
        cdef int threads = ck_get_num_threads()
        cdef int status
        if threads != self.threads:
            self.scratch = _Block(ck_team_scratch_bytes(self.program.need, threads))
            self.threads = threads
        with nogil:
            status = ck_program_run(&self.program, self.scratch.data, _poll)
        if status == 1:
            _raise_pending()
        if status < 0:
            raise MemoryError("convkit: no memory to run a program")


cdef double _best_seconds(int kernel_id, const void *op, int real_bytes, double seconds) except -1:
    # Repeat until `seconds` have passed; the fastest of the rounds.
    cdef const ck_kernels *kernels = ck_kernels_for(_isa, real_bytes)
    cdef double start = ck_seconds()
    cdef double best = 1e9, before, took
    cdef int failed = 0
    with nogil:
        while ck_seconds() - start < seconds:
            before = ck_seconds()
            failed |= ck_run(kernels, kernel_id, op)
            took = ck_seconds() - before
            if 0 < took < best:
                best = took
    if failed:
        raise MemoryError()
    return best


def peak_gflops(int threads, double seconds=0.2, int real_bytes=4):
    """Measure the FMA rate of `threads` threads in GFLOP/s: the roof of compute-bound kernels."""
    before = ck_get_num_threads()
    y = np.zeros(65536, np.float64)
    cdef double[::1] y_view = y
    cdef ck_probe probe
    probe.y = &y_view[0]
    probe.count = 4800
    probe.repeats = 500
    cdef int lanes = ck_kernels_for(_isa, real_bytes).vector_bytes // real_bytes
    ck_set_num_threads(threads)
    try:
        flops = 2.0 * probe.count * probe.repeats * lanes * threads
        return flops / _best_seconds(CK_probe_fma, &probe, real_bytes, seconds) / 1e9
    finally:
        ck_set_num_threads(before)


cdef class Streams:
    """Passes over float32 arrays, one after the other, as an operation bound by memory makes them.

    A pass is a pair of lists, what is read and what is written, of (array, part): the array has a
    `part`-th (1, 4 or 16) of the largest array's bytes; what is beyond whole kilobytes of that is
    left out. Passes of 4 reads and 3 writes at most. `past_caches` says how results are written.
    """
    cdef ck_stream_pass passes[8]
    cdef ck_streams op
    cdef list _arrays

    def __init__(self, passes, bint past_caches=False):
        self._arrays = []
        for i, (read, written) in enumerate(passes):
            self.passes[i].reads, self.passes[i].writes = len(read), len(written)
            self.passes[i].kilobytes = min(a.nbytes * part // 1024 for a, part in read + written)
            for j, (array, part) in enumerate(read + written):
                self.passes[i].arrays[j] = <void *><size_t>array.ctypes.data
                self.passes[i].lines[j] = 16 // part
                self._arrays.append(array)
        self.op.passes = self.passes
        self.op.n = len(passes)
        self.op.past_caches = past_caches

    def run(self, ptrdiff_t times=1):
        """Make all passes so many times."""
        cdef const ck_kernels *kernels = ck_kernels_for(_isa, 4)
        cdef int failed = 0
        with nogil:
            for _ in range(times):
                failed |= ck_run(kernels, CK_probe_streams, &self.op)
        if failed:
            raise MemoryError()

    def best_seconds(self, double seconds):
        """Return the fastest of as many runs as `seconds` have room for."""
        return _best_seconds(CK_probe_streams, &self.op, 4, seconds)


def stream_gbs(int threads, double seconds=0.2, size_t megabytes=256):
    """Measure memory bandwidth in GB/s of y = x + 1 (bytes read plus bytes written)."""
    before = ck_get_num_threads()
    x, y = aligned_empty(megabytes << 19), aligned_empty(megabytes << 19)
    ck_set_num_threads(threads)
    try:
        took = Streams([([(x, 1)], [(y, 1)])]).best_seconds(seconds)
        return (megabytes << 20) / took / 1e9
    finally:
        ck_set_num_threads(before)
