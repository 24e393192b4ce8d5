/* convkit.h: the whole C interface.
 *
 * An operation is described by one struct below. The same struct is the argument of a single call
 * (ck_run) and an instruction of a program (ck_program_run). A kernel is a *team function*: every
 * thread of a team calls it with the same op, does its share by team->rank / team->size, and may
 * meet the others in ck_team_barrier. Kernels do not allocate, fail or print; callers validate.
 *
 * Every field of an op struct is 8 bytes wide (pointer, ptrdiff_t or double), so that a caller in
 * another language can fill it as an array of 8-byte slots. layout.c lists the fields by name.
 *
 * Arrays are dense and row-major. x: (n, ih, iw, c), w: (kh, kw, c / groups, k), y: (n, oh, ow, k).
 * Sizes are at least 1: callers answer empty batches themselves.
 * Array elements are of the table's float type unless a comment says otherwise. Order of pointers:
 * outputs, then inputs. A pointer that an operation does not use may be NULL.
 */
#ifndef CONVKIT_H
#define CONVKIT_H

#include <stddef.h>
#include <stdint.h>

/* ---- team ---------------------------------------------------------------------------------- */

struct ck_barrier;

struct ck_team {
    int rank;                   /* 0 .. size - 1; rank 0 is the calling thread */
    int size;                   /* threads that the parallel region really got */
    struct ck_barrier *barrier; /* shared by the team */
    void *shared;               /* scratch of the operation, shared by the team, 64-byte aligned */
    void *scratch;              /* scratch of this rank alone, 64-byte aligned */
};

/* What an operation needs; a function of its shapes only. */
struct ck_scratch {
    size_t shared;
    size_t per_rank;
    size_t packed; /* not scratch: the bytes of its weights where they are laid out for it */
};

void ck_team_barrier(const struct ck_team *team);

/* Run body(team, context) on every thread of a team of up to ck_get_num_threads(). The team has
 * one thread where another team is running, inside a foreign parallel region, and in a forked
 * child. `scratch` may be NULL: then a cached block is borrowed. Returns 0, or -1 when out of
 * memory. */
int ck_team_run(void (*body)(const struct ck_team *team, void *context), void *context,
                struct ck_scratch need, void *scratch);

/* Bytes of scratch that ck_team_run wants for `need` with `threads` threads. */
size_t ck_team_scratch_bytes(struct ck_scratch need, int threads);

/* Memory for free(); 64-byte aligned, in huge pages from 4 MB on. NULL when there is none. */
void *ck_memory(size_t bytes);

/* The same for results, which gives back what an earlier one of this size has left. */
void *ck_result_memory(size_t bytes);
void ck_result_memory_free(void *data, size_t bytes);

void ck_set_num_threads(int threads);
int ck_get_num_threads(void);
int ck_has_openmp(void);

/* ---- operations ---------------------------------------------------------------------------- */

enum ck_activation_kind {
    CK_LINEAR,
    CK_RELU,
    CK_LEAKY_RELU, /* alpha: slope below zero */
    CK_ELU,        /* alpha */
    CK_SELU,
    CK_GELU,      /* exact, with erf */
    CK_GELU_TANH, /* the tanh approximation */
    CK_SILU,
    CK_SIGMOID,
    CK_TANH,
    CK_SOFTPLUS,
    CK_HARD_SIGMOID, /* relu6(x + 3) / 6 */
    CK_HARD_SILU,
    CK_MISH,
    CK_ACTIVATION_KINDS
};

enum ck_conv_algorithm { CK_CONV_AUTO, CK_CONV_DIRECT };

/* Forward passes lay out w anew at every call, in shared scratch, or read it where it lies. Where w rests,
 * it can be laid out once: conv2d_pack and dense_pack write `packed`, of as many bytes as ck_scratch says,
 * and a forward pass whose `packed` is not NULL reads that, with the same results. What was written for one
 * n or m serves any other for which it has the same size. */

/* y = activation(z), z = conv(x, w) + b. A non-NULL z keeps the pre-activation for the backward.
 * With pool = 2, y is the 2x2 max pool of activation(z), stride 2, and z and argmax (uint8, may be
 * NULL) are those of the winners: all of the pooled size (n, oh / 2, ow / 2, k). The gradients then
 * take dy of that size, by z, with argmax. With a variance, inference's batch normalization (see
 * ck_batch_norm; gamma and beta may be NULL) comes between: z = normalize(conv(x, w) + b).
 * An addend, like y, is added to z; not with pool. Where batch_variance is not NULL, the forward gives
 * out the statistics over the batch for a normalization of z, or of y where the two are one.
 *
 * The input gradient goes on to what made x, as far as it is told: dx = (conv's + addend)
 * activation'(z), addend and z like dx. The derivative is taken from x, which is z, or activation(z)
 * for kinds that keep a number's sign. With norm_x, like dx, x was made by batch normalization of that
 * (see ck_batch_norm; the batch's mean and variance, gamma and beta, or NULL), with the activation if x
 * is NULL: then z is computed again. dgamma and dbeta (may be NULL) are that one's, and mean_g and
 * mean_gx what batch_norm_backward_data takes beside dx as its dy. An addend must not be in the memory
 * of y or dx. */
struct ck_conv2d {
    void *y, *z, *argmax, *batch_mean, *batch_variance, *dx, *dw, *db, *packed;
    void *dgamma, *dbeta, *mean_g, *mean_gx;
    const void *x, *w, *b, *dy, *mean, *variance, *gamma, *beta, *addend, *norm_x;
    ptrdiff_t n, ih, iw, c, oh, ow, k, kh, kw;
    ptrdiff_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, groups;
    ptrdiff_t activation; /* enum ck_activation_kind; forward, and input gradient */
    double alpha;
    ptrdiff_t algorithm; /* enum ck_conv_algorithm */
    ptrdiff_t pool;      /* 2, or 0 for none */
    double epsilon;      /* of the normalization */
};

/* y (m, k) = activation(x (m, c) w (c, k) + b). */
struct ck_dense {
    void *y, *z, *dx, *dw, *db, *packed;
    const void *x, *w, *b, *dy;
    ptrdiff_t m, c, k;
    ptrdiff_t activation;
    double alpha;
};

/* Output (r, q) covers the rows from floor(r ih / oh) to ceil((r + 1) ih / oh), columns likewise.
 * argmax: int32, the cell's index in the image; may be NULL. */
struct ck_adaptive_pool2d {
    void *y, *argmax, *dx;
    const void *x, *dy;
    ptrdiff_t n, ih, iw, c, oh, ow;
};

/* y (n, ih factor_h, iw factor_w, c) of x (n, ih, iw, c): the nearest pixel, or bilinear with pixel
 * centres at halves. */
struct ck_upsample2d {
    void *y, *dx;
    const void *x, *dy;
    ptrdiff_t n, ih, iw, c, factor_h, factor_w, bilinear;
};

/* argmax: row-major index within the window, of argmax_bytes (0: not kept, 1: uint8, 4: int32). */
struct ck_pool2d {
    void *y, *argmax, *dx;
    const void *x, *dy;
    ptrdiff_t n, ih, iw, c, oh, ow, kh, kw, stride_h, stride_w, pad_top, pad_left;
    ptrdiff_t argmax_bytes;      /* max pooling */
    ptrdiff_t count_include_pad; /* average pooling */
};

/* y = activation(z), z = gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual over rows x c.
 * gamma, beta, residual, dgamma, dbeta may be NULL. Variance is the biased one. The backward recomputes
 * z, without a residual. batch_norm_backward_data gives dx alone, where mean_g and mean_gx are known: the
 * means over the rows of g = dy activation'(z) and of g (x - mean) / sqrt(variance + epsilon).
 * With pool = 2, y is the 2x2 max pool of activation(z), and the backward takes dy of that size with
 * argmax (uint8; may be NULL in the forward): rows are pixels of images of `width` columns, an even
 * number, and an even number of rows. Not with a residual. */
struct ck_batch_norm {
    void *y, *argmax, *mean, *variance, *dx, *dgamma, *dbeta;
    const void *x, *gamma, *beta, *residual, *dy, *mean_g, *mean_gx;
    ptrdiff_t rows, c;
    double epsilon;
    ptrdiff_t activation;
    double alpha;
    ptrdiff_t pool, width;
};

/* y = f(x); dx = dy * f'(x). In place (y == x, dx == dy) is allowed. */
struct ck_activation {
    void *y, *dx;
    const void *x, *dy;
    ptrdiff_t count, activation;
    double alpha;
};

/* y = activation(z), z = gamma * (x - mean) * inverse + beta, inverse = 1 / sqrt(variance + epsilon),
 * of each group of c / groups channels over all pixels of a sample: x is (n, pixels, c), mean and
 * inverse (n, groups). gamma, beta, dx, dgamma, dbeta may be NULL. The backward recomputes z. */
struct ck_group_norm {
    void *y, *mean, *inverse, *dx, *dgamma, *dbeta;
    const void *x, *gamma, *beta, *dy;
    ptrdiff_t n, pixels, c, groups;
    double epsilon;
    ptrdiff_t activation;
    double alpha;
};

/* Over the last axis. The backward reads y. */
struct ck_softmax {
    void *y, *dx;
    const void *x, *dy;
    ptrdiff_t rows, cols;
};

/* How the losses of samples become one number, the total: */
enum ck_reduction {
    CK_SUM_OVER_BATCH_SIZE,     /* sum(weights * loss) / n */
    CK_SUM,                     /* sum(weights * loss), every position of a sample counting whole */
    CK_MEAN_WITH_SAMPLE_WEIGHT, /* sum(weights * loss) / sum(weights) */
};

/* Per-sample loss (n), the mean over positions (pixels), of x (n, positions, classes) against
 * labels: int64 (n, positions) when label_kind is 0, else probabilities like x of the float type.
 * mean_loss is the total (double), dx its gradient; weights (n) are per sample. probabilities (like
 * x), loss, dx, weights may be NULL.
 * from_logits: x are logits; otherwise probabilities, normalized and clipped to [1e-7, 1 - 1e-7].
 * focal: every term counts alpha (1 - p)^gamma times. */
struct ck_cross_entropy {
    void *loss, *mean_loss, *probabilities, *dx;
    const void *x, *labels, *weights;
    ptrdiff_t n, positions, classes, label_kind, from_logits, reduction, focal;
    double label_smoothing, alpha, gamma;
};

/* Losses of single elements, added up over the last axis (and divided by its size, but for KL
 * divergence), averaged over positions. */
enum ck_element_loss_kind {
    CK_ABSOLUTE_ERROR,
    CK_ABSOLUTE_PERCENTAGE_ERROR,
    CK_BINARY_CROSS_ENTROPY,        /* x: probabilities, clipped to [1e-7, 1 - 1e-7] */
    CK_BINARY_CROSS_ENTROPY_LOGITS, /* x: logits */
    CK_BINARY_FOCAL,                /* gamma; alpha, or a negative one for no balancing */
    CK_BINARY_FOCAL_LOGITS,
    CK_HINGE,
    CK_HUBER, /* alpha: delta */
    CK_KL_DIVERGENCE,
    CK_LOG_COSH,
    CK_POISSON,
    CK_SQUARED_ERROR,
    CK_SQUARED_HINGE,
    CK_SQUARED_LOGARITHMIC_ERROR,
    CK_VALUE /* x itself; no target */
};

/* Loss of x (n, positions, cols) against a target like it; loss, mean_loss, dx as above. Label
 * smoothing moves targets towards 1/2. */
struct ck_element_loss {
    void *loss, *mean_loss, *dx;
    const void *x, *target, *weights;
    ptrdiff_t n, positions, cols, kind, reduction;
    double label_smoothing, alpha, gamma;
};

/* total = weight_a *a + weight_b *b, all double; b may be NULL. */
struct ck_loss_sum {
    void *total;
    const void *a, *b;
    double weight_a, weight_b;
};

/* y[i] = x[i] / (1 - rate) where the generator keeps element i, else 0. The mask is a function of
 * (seed, stream, *step, i): the backward runs the same op on dy. step: uint64. With `pixels` x is
 * (samples, pixels, c) and all pixels of a sample share a mask of c channels; 0: none do. */
struct ck_dropout {
    void *y;
    const void *x, *step;
    ptrdiff_t count, seed, stream, pixels, c;
    double rate;
};

/* y[i] = mean + stddev times a normally distributed number, a function of (seed, stream, *step, i).
 * step: uint64. */
struct ck_random_normal {
    void *y;
    const void *step;
    ptrdiff_t count, seed, stream;
    double mean, stddev;
};

enum ck_source_type {
    CK_U8,
    CK_I8,
    CK_I16,
    CK_U16,
    CK_I32,
    CK_U32,
    CK_I64,
    CK_U64,
    CK_F32,
    CK_F64
};

/* y[i, :] = x[index[i], :] converted to the float type; index: int64 (n). */
struct ck_gather {
    void *y;
    const void *x, *index;
    ptrdiff_t n, cols, source_type, x_rows;
};

/* How an image goes on beyond its edges. */
enum ck_fill_mode {
    CK_FILL_CONSTANT, /* k k k | a b c d | k k k */
    CK_FILL_NEAREST,  /* a a a | a b c d | d d d */
    CK_FILL_REFLECT,  /* c b a | a b c d | d c b */
    CK_FILL_MIRROR,   /* d c b | a b c d | c b a */
    CK_FILL_WRAP      /* b c d | a b c d | a b c */
};

/* What the ck_draw_* kernels draw for a sample is a function of (seed, stream, *step, sample[i]),
 * and for a batch of (seed, stream, *step): sample: int64 (n), step: uint64. Ranges are half-open;
 * low == high is that number. */

/* map: int32 (n, oh + ow), the rows and columns of x (n, ih, iw, c) that make the rows and columns
 * of y (n, oh, ow, c), -1 for the fill value. Row r is row floor(top) + r, top in [top_low, top_high),
 * continued by fill_mode; flip (1: left to right, 2: upside down, 3: both, each with probability 1/2)
 * turns y around. With `alternating`, step counts epochs and every image is flipped in every other
 * epoch. base: an earlier map, whose y is x here, or NULL. */
struct ck_draw_map {
    void *map;
    const void *sample, *step, *base;
    ptrdiff_t n, ih, iw, oh, ow, seed, stream, flip, alternating, fill_mode;
    double top_low, top_high, left_low, left_high;
};

/* y[i] (oh, ow, c) = x[index[i]] (ih, iw, c) by map[i] of ck_draw_map, converted to the float type;
 * then, where rescale is not 0, y * scale + offset; then, where variance is not NULL, (y - mean) /
 * sqrt(variance + epsilon) by channel. Where the map has -1, y is set to `fill` before all this
 * (fill_stage 0), before the normalization (1), or at the end (2). index or map may be NULL: all rows
 * in order, and no map (oh = ih, ow = iw). */
struct ck_gather_images {
    void *y;
    const void *x, *index, *map, *mean, *variance;
    ptrdiff_t n, ih, iw, c, oh, ow, source_type, x_rows, rescale, fill_stage;
    double fill, scale, offset, epsilon;
};

/* transform: double (n, 6): y (r, q) comes from row t0 r + t1 q + t2 and column t3 r + t4 q + t5 of x,
 * which is y turned counterclockwise by an angle (radians), zoomed (above 1: out) and shifted (down,
 * right, in pixels), about the centers of both. The width's zoom is the height's with same_zoom. */
struct ck_draw_transform {
    void *transform;
    const void *sample, *step;
    ptrdiff_t n, ih, iw, oh, ow, seed, stream, same_zoom;
    double angle_low, angle_high, zoom_h_low, zoom_h_high, zoom_w_low, zoom_w_high;
    double shift_h_low, shift_h_high, shift_w_low, shift_w_high;
};

/* y (n, oh, ow, c): x (n, ih, iw, c) by transform, bilinear or the nearest pixel. */
struct ck_warp {
    void *y;
    const void *x, *transform;
    ptrdiff_t n, ih, iw, c, oh, ow, bilinear, fill_mode;
    double fill;
};

/* y: double (n). */
struct ck_draw_uniform {
    void *y;
    const void *sample, *step;
    ptrdiff_t n, seed, stream;
    double low, high;
};

/* y = clip(x + factor[i] (contrast 0) or (x - mean) * factor[i] + mean (contrast 1; mean of the image
 * by channel), low, high). x, y: (n, pixels, c); factor: double (n). In place is allowed. */
struct ck_adjust {
    void *y;
    const void *x, *factor;
    ptrdiff_t n, pixels, c, contrast;
    double low, high;
};

/* box: int32 (n, 4): top, bottom, left, right, the cells that are erased. size > 0: a square about a
 * cell of the image, cut at its edges. Else, with a probability drawn from factor_low..factor_high, a
 * box of sqrt(scale) times the height and width, both drawn from scale_low..scale_high. */
struct ck_draw_erase {
    void *box;
    const void *sample, *step;
    ptrdiff_t n, h, w, seed, stream, size;
    double factor_low, factor_high, scale_low, scale_high;
};

/* y = x, inside of box[i] fill (c); where fill is NULL, normal noise times high, clipped to low..high.
 * In place is allowed. */
struct ck_erase {
    void *y;
    const void *x, *box, *fill, *sample, *step;
    ptrdiff_t n, h, w, c, seed, stream;
    double low, high;
};

/* partner: int64 (n), the batch turned by a random number of places; weight (n): what a sample keeps
 * of itself, from the Beta(alpha, alpha) distribution, alpha in [alpha_low, alpha_high) for a batch.
 * box as in ck_draw_erase, of the area 1 - weight, which is then set to what is outside of it; NULL
 * where images are blended. */
struct ck_draw_mix {
    void *partner, *weight, *box;
    const void *sample, *step;
    ptrdiff_t n, h, w, seed, stream;
    double alpha_low, alpha_high;
};

/* y[i] = weight[i] * x[i] + (1 - weight[i]) * x[partner[i]], or, where box is not NULL, x[partner[i]]
 * inside of box[i] and x[i] outside. x, y: (n, h, w, c). */
struct ck_mix {
    void *y;
    const void *x, *partner, *weight, *box;
    ptrdiff_t n, h, w, c;
};

/* y (n, classes): 1 where the label (int64) is, else 0. */
struct ck_one_hot {
    void *y;
    const void *labels;
    ptrdiff_t n, classes;
};

/* y = activation(a + b). In place is allowed. */
struct ck_add {
    void *y;
    const void *a, *b;
    ptrdiff_t count, activation;
    double alpha;
};

enum ck_binary_kind {
    CK_ADD,
    CK_SUBTRACT,
    CK_MULTIPLY,
    CK_DIVIDE,
    CK_MAXIMUM,
    CK_MINIMUM,
    CK_PRELU /* a where a >= 0, else a * b */
};

/* y = activation(z), z = f(a, b) over n0..n3; a0..b3 are the strides of a and b in elements, 0 where
 * they repeat; those of the last axis are 0 or 1. A non-NULL z keeps the pre-activation. The
 * backward writes dy times the derivative by a (side 0) or b (side 1) to y, of the same n0..n3. */
struct ck_binary {
    void *y, *z;
    const void *a, *b, *dy;
    ptrdiff_t n0, n1, n2, n3, a0, a1, a2, a3, b0, b1, b2, b3;
    ptrdiff_t kind, side, activation;
    double alpha;
};

/* y (outer, inner) = scale * the sum of x (outer, size, inner) over the middle axis; of x * z where
 * z, of x's shape, is not NULL. */
struct ck_reduce {
    void *y;
    const void *x, *z;
    ptrdiff_t outer, size, inner;
    double scale;
};

enum ck_unary_kind {
    CK_EXP,
    CK_LOG,
    CK_SQRT,
    CK_SQUARE,
    CK_ABS,
    CK_CLIP,        /* to [low, high] */
    CK_BOUNDED_RELU /* high from there on, x from low on, alpha * (x - low) below */
};

/* y = f(x); dx = dy * f'(x). In place (y == x, dx == dy) is allowed. */
struct ck_unary {
    void *y, *dx;
    const void *x, *dy;
    ptrdiff_t count, kind;
    double alpha, low, high;
};

/* y = x * scale + offset. In place is allowed. */
struct ck_affine {
    void *y;
    const void *x;
    ptrdiff_t count;
    double scale, offset;
};

/* Copy a block of up to 4 dimensions; strides in elements, the last dimension is contiguous. */
struct ck_copy {
    void *y;
    const void *x;
    ptrdiff_t n0, n1, n2, n3, y0, y1, y2, x0, x1, x2;
};

/* y (n0, ..., n5), dense, is x with its axes in another order: x0 .. x5 are x's strides in elements,
 * of y's axes. n0 is or holds the batch. */
struct ck_permute {
    void *y;
    const void *x;
    ptrdiff_t n0, n1, n2, n3, n4, n5, x0, x1, x2, x3, x4, x5;
};

struct ck_fill {
    void *y;
    ptrdiff_t count;
    double value;
};

/* moving = momentum * moving + (1 - momentum) * batch. */
struct ck_moving_average {
    void *moving;
    const void *batch;
    ptrdiff_t count;
    double momentum;
};

/* total = *mean_loss + l1 sum(|w|) + l2 sum(w^2); dw = l1 sign(w) + 2 l2 w, the gradient of what was
 * added. total and mean_loss: double. dw may be NULL. */
struct ck_penalty {
    void *total, *dw;
    const void *mean_loss, *w;
    ptrdiff_t count;
    double l1, l2;
};

/* After a step. non_negative: w = max(w, 0). Else the norm of w over the dimensions in `axes` (bit i
 * is dimension i of n0..n3) is brought to rate * clip(norm, low, high) + (1 - rate) * norm. */
struct ck_constrain {
    void *w;
    ptrdiff_t n0, n1, n2, n3, axes, non_negative;
    double low, high, rate;
};

/* After step t = *step (uint64): where period divides t, average = momentum * average +
 * (1 - momentum) * w, momentum = hyper[CK_AVERAGE_MOMENTUM] (at the first step average = w if
 * from_first); where `overwrite` is not 0 and divides t, w = average. */
struct ck_weight_average {
    void *average, *w;
    const void *step, *hyper; /* hyper: double[CK_HYPER_COUNT] */
    ptrdiff_t count, period, overwrite, from_first;
};

/* One parameter of a model as optimizers see it. Slots by optimizer: SGD: momentum; RMSprop: mean
 * square, momentum, mean gradient (centered); Adam: both moments, largest second moment (AMSGrad);
 * Nadam: both moments; Adagrad: sum of squares; Lion: momentum. Others are NULL. */
struct ck_parameter {
    void *w, *slot1, *slot2, *slot3;
    const void *g;
    ptrdiff_t count;
    double decay; /* 1 where weight decay applies, else 0 */
    double rate;  /* factor of the learning rate */
};

/* Numbers of an optimizer, read at each step (so callbacks may change them). 0 means off. */
enum ck_hyper {
    CK_LEARNING_RATE,
    CK_MOMENTUM, /* SGD, RMSprop; beta_1 of the Adams and Lion */
    CK_RHO,      /* RMSprop; beta_2 of the Adams and Lion */
    CK_EPSILON,
    CK_WEIGHT_DECAY,
    CK_CLIP_VALUE,
    CK_CLIP_NORM,
    CK_GLOBAL_CLIP_NORM,
    CK_NESTEROV,
    CK_MOMENTUM_PRODUCT, /* Nadam: the product of its momenta up to this step */
    CK_AVERAGE_MOMENTUM, /* of averages of weights */
    CK_HYPER_COUNT
};

/* Update all parameters, then *step += 1 (uint64). parameters: struct ck_parameter[n]. */
struct ck_update {
    void *step;
    const void *parameters, *hyper; /* hyper: double[CK_HYPER_COUNT] */
    ptrdiff_t n_parameters;
};

/* A step of Muon for w (rows, cols): slot1 = momentum slot1 + g; of slot1, or g + momentum slot1
 * (nesterov), `steps` of X <- a X + (b X X^T + c (X X^T)^2) X give X with singular values near 1;
 * w = w (1 - lr decay) - lr scale X, lr = rate hyper[CK_LEARNING_RATE]. *step, if not NULL, += 1. */
struct ck_muon {
    void *w, *slot1, *step;
    const void *g, *hyper;
    ptrdiff_t rows, cols, steps, nesterov;
    double momentum, a, b, c, scale, decay, rate;
};

/* FMAs that do not depend on each other, for measuring the machine. */
struct ck_probe {
    void *y;
    ptrdiff_t count, repeats;
};

/* Read and write arrays as an operation bound by memory has to: passes one after the other, each over
 * `kilobytes` of its largest arrays, 1, 4 or 16 lines of each array per kilobyte. */
struct ck_stream_pass {
    void *arrays[8]; /* those that are read, then those that are written */
    ptrdiff_t lines[8];
    ptrdiff_t reads, writes, kilobytes;
};
struct ck_streams {
    const void *passes; /* struct ck_stream_pass[n] */
    ptrdiff_t n, past_caches;
};

/* Every kernel with the struct that it takes: the one list that the tables, the layouts and the
 * tests are made from. */
#define CK_KERNELS(K)                                                                              \
    K(conv2d_pack, ck_conv2d)                                                                      \
    K(conv2d_forward, ck_conv2d)                                                                   \
    K(conv2d_backward_data, ck_conv2d)                                                             \
    K(conv2d_backward_weights, ck_conv2d)                                                          \
    K(dense_pack, ck_dense)                                                                        \
    K(dense_forward, ck_dense)                                                                     \
    K(dense_backward_data, ck_dense)                                                               \
    K(dense_backward_weights, ck_dense)                                                            \
    K(max_pool2d_forward, ck_pool2d)                                                               \
    K(max_pool2d_backward, ck_pool2d)                                                              \
    K(avg_pool2d_forward, ck_pool2d)                                                               \
    K(avg_pool2d_backward, ck_pool2d)                                                              \
    K(adaptive_max_pool2d_forward, ck_adaptive_pool2d)                                             \
    K(adaptive_max_pool2d_backward, ck_adaptive_pool2d)                                            \
    K(adaptive_avg_pool2d_forward, ck_adaptive_pool2d)                                             \
    K(adaptive_avg_pool2d_backward, ck_adaptive_pool2d)                                            \
    K(upsample2d_forward, ck_upsample2d)                                                           \
    K(upsample2d_backward, ck_upsample2d)                                                          \
    K(batch_norm_forward, ck_batch_norm)                                                           \
    K(batch_norm_inference, ck_batch_norm)                                                         \
    K(batch_norm_backward, ck_batch_norm)                                                          \
    K(batch_norm_backward_data, ck_batch_norm)                                                     \
    K(group_norm_forward, ck_group_norm)                                                           \
    K(group_norm_backward, ck_group_norm)                                                          \
    K(activation_forward, ck_activation)                                                           \
    K(activation_backward, ck_activation)                                                          \
    K(softmax_forward, ck_softmax)                                                                 \
    K(softmax_backward, ck_softmax)                                                                \
    K(log_softmax_forward, ck_softmax)                                                             \
    K(log_softmax_backward, ck_softmax)                                                            \
    K(cross_entropy, ck_cross_entropy)                                                             \
    K(element_loss, ck_element_loss)                                                               \
    K(loss_sum, ck_loss_sum)                                                                       \
    K(dropout, ck_dropout)                                                                         \
    K(random_normal, ck_random_normal)                                                             \
    K(gather, ck_gather)                                                                           \
    K(draw_map, ck_draw_map)                                                                       \
    K(gather_images, ck_gather_images)                                                             \
    K(draw_transform, ck_draw_transform)                                                           \
    K(warp, ck_warp)                                                                               \
    K(draw_uniform, ck_draw_uniform)                                                               \
    K(adjust, ck_adjust)                                                                           \
    K(draw_erase, ck_draw_erase)                                                                   \
    K(erase, ck_erase)                                                                             \
    K(draw_mix, ck_draw_mix)                                                                       \
    K(mix, ck_mix)                                                                                 \
    K(one_hot, ck_one_hot)                                                                         \
    K(add, ck_add)                                                                                 \
    K(binary_forward, ck_binary)                                                                   \
    K(binary_backward, ck_binary)                                                                  \
    K(reduce_sum, ck_reduce)                                                                       \
    K(unary_forward, ck_unary)                                                                     \
    K(unary_backward, ck_unary)                                                                    \
    K(affine, ck_affine)                                                                           \
    K(copy, ck_copy)                                                                               \
    K(permute, ck_permute)                                                                         \
    K(fill, ck_fill)                                                                               \
    K(moving_average, ck_moving_average)                                                           \
    K(penalty, ck_penalty)                                                                         \
    K(constrain, ck_constrain)                                                                     \
    K(weight_average, ck_weight_average)                                                           \
    K(sgd_update, ck_update)                                                                       \
    K(rmsprop_update, ck_update)                                                                   \
    K(adam_update, ck_update)                                                                      \
    K(adamax_update, ck_update)                                                                    \
    K(nadam_update, ck_update)                                                                     \
    K(adagrad_update, ck_update)                                                                   \
    K(adadelta_update, ck_update)                                                                  \
    K(lion_update, ck_update)                                                                      \
    K(muon_update, ck_muon)                                                                        \
    K(probe_fma, ck_probe)                                                                         \
    K(probe_streams, ck_streams)

typedef void ck_kernel(const void *op, const struct ck_team *team);
typedef void ck_scratch_query(const void *op, struct ck_scratch *need);

enum ck_kernel_id {
#define K(kernel, op) CK_##kernel,
    CK_KERNELS(K)
#undef K
        CK_KERNEL_COUNT
};

/* The kernels of one ISA and one float type. scratch[id] is NULL where no scratch is needed. */
struct ck_kernels {
    const char *isa;
    int real_bytes;
    int vector_bytes;
    ck_kernel *run[CK_KERNEL_COUNT];
    ck_scratch_query *scratch[CK_KERNEL_COUNT];
};

/* ---- dispatch ------------------------------------------------------------------------------ */

/* ISAs in rising order; "baseline" is first and always there. NULL ends the list. */
const char *ck_isa_name(int index);
int ck_isa_built(int index);  /* compiled into this library */
int ck_isa_usable(int index); /* built, and this CPU and OS can run it */

/* The table of an ISA for 4- or 8-byte floats, or NULL where it was not built. */
const struct ck_kernels *ck_kernels_for(int isa_index, int real_bytes);

/* ---- layout -------------------------------------------------------------------------------- */

struct ck_field {
    const char *name;
    size_t offset;
    char kind; /* 'p' pointer, 'i' ptrdiff_t, 'd' double */
};

struct ck_layout {
    const char *name; /* of the struct */
    size_t size;
    const struct ck_field *fields;
    int n_fields;
};

const struct ck_layout *ck_layout_of(const char *struct_name); /* NULL where unknown */
const char *ck_kernel_name(int id);
const char *ck_kernel_struct(int id);

/* ---- running ------------------------------------------------------------------------------- */

/* Run one operation on a team. Returns 0, or -1 when out of memory. */
int ck_run(const struct ck_kernels *kernels, int kernel_id, const void *op);

struct ck_instruction {
    int kernel_id;
    int barrier; /* the team meets after this instruction */
    const void *op;
};

/* Instructions from first_update on write persistent state: they run all or not at all. */
struct ck_program {
    const struct ck_kernels *kernels;
    const struct ck_instruction *instructions;
    ptrdiff_t n_instructions, first_update;
    struct ck_scratch need;
};

struct ck_scratch ck_program_scratch(const struct ck_program *program);

/* Run the whole program in one parallel region. `poll` is called by rank 0 between instructions
 * before first_update, at most every 50 ms; non-zero stops the team there.
 * Returns 0 when done, 1 when stopped, -1 when out of memory. */
int ck_program_run(const struct ck_program *program, void *scratch, int (*poll)(void));

#endif
