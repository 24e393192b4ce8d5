/* test_training.c: losses, optimizers, moving averages and what is done to weights, against plain
 * loops in double.
 */
#include "harness.h"

/* ---- losses -------------------------------------------------------------------------------- */

/* label_kind 0: class numbers; 1: probabilities. weighted: sample weights. */
static void check_cross_entropy(ptrdiff_t n, ptrdiff_t classes, int label_kind, int weighted) {
    const double smoothing = 0.1;
    const ptrdiff_t count = n * classes;
    void *x = fractions(count, 51), *weights = integers(n, 52), *q = allocate(count, real_bytes);
    int64_t *numbers = allocate(n, sizeof *numbers);
    double *loss = zeros(n), *dx = zeros(count), mean = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        double sum = 0;
        numbers[i] = (i * 7 + 1) % classes;
        for (ptrdiff_t j = 0; j < classes; j++) {
            set(q, i * classes + j, j == numbers[i] ? 0.75 : 0.25);
            sum += exp(get(x, i * classes + j));
        }
        const double weight = weighted ? get(weights, i) : 1;
        double total = 0;
        for (ptrdiff_t j = 0; j < classes; j++) {
            const double raw = label_kind ? get(q, i * classes + j) : (double)(j == numbers[i]);
            total += raw * (1 - smoothing) + smoothing / (double)classes;
        }
        for (ptrdiff_t j = 0; j < classes; j++) {
            const double raw = label_kind ? get(q, i * classes + j) : (double)(j == numbers[i]);
            const double target = raw * (1 - smoothing) + smoothing / (double)classes;
            const double at = get(x, i * classes + j);
            loss[i] -= target * (at - log(sum));
            dx[i * classes + j] = weight / (double)n * (total * exp(at) / sum - target);
        }
        mean += weight * loss[i] / (double)n;
    }
    struct kept kept[2] = {{0}};
    const double most = 1e-5 * (double)(classes + 4);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        double got = NAN;
        struct ck_cross_entropy op = {
            .loss = unwritten(n),
            .mean_loss = &got,
            .dx = unwritten(count),
            .x = x,
            .labels = label_kind ? q : (void *)numbers,
            .weights = weighted ? weights : NULL,
            .n = n,
            .positions = 1,
            .classes = classes,
            .label_kind = label_kind,
            .from_logits = 1,
            .label_smoothing = smoothing,
        };
        ck_set_num_threads(threads);
        run(CK_cross_entropy, &op);
        expect_near("cross_entropy loss", op.loss, loss, n, most);
        expect_near("cross_entropy dx", op.dx, dx, count, most);
        expect_number("cross_entropy mean", got, mean, most * 4);
        expect_same("cross_entropy dx", &kept[0], op.dx, count * real_bytes);
        expect_same("cross_entropy mean", &kept[1], &got, sizeof got);
        free(op.loss), free(op.dx);
    }
    free(x), free(weights), free(q), free(numbers), free(loss), free(dx);
}

/* ---- optimizers ---------------------------------------------------------------------------- */

enum { STEPS = 3, PARAMETERS = 3 };

/* What an optimizer knows of one element: its weight and slots. */
struct element {
    double w, slot1, slot2, slot3;
};

/* One element's step t = 1, 2, ... from a gradient that is clipped already. */
static void reference_step(int kernel, const double *h, double product, int t, double g,
                           struct element *e) {
    const double rate = h[CK_LEARNING_RATE], b1 = h[CK_MOMENTUM], b2 = h[CK_RHO];
    e->w -= e->w * h[CK_WEIGHT_DECAY] * rate;
    if (kernel == CK_sgd_update) {
        e->slot1 = b1 * e->slot1 - rate * g;
        e->w += h[CK_NESTEROV] != 0 ? b1 * e->slot1 - rate * g : e->slot1;
    } else if (kernel == CK_rmsprop_update) { /* centered, with momentum */
        e->slot1 = b2 * e->slot1 + (1 - b2) * g * g;
        e->slot3 = b2 * e->slot3 + (1 - b2) * g;
        e->slot2 = b1 * e->slot2 + rate * g / sqrt(e->slot1 - e->slot3 * e->slot3 + h[CK_EPSILON]);
        e->w -= e->slot2;
    } else if (kernel == CK_adam_update) { /* AMSGrad */
        e->slot1 += (g - e->slot1) * (1 - b1);
        e->slot2 += (g * g - e->slot2) * (1 - b2);
        e->slot3 = fmax(e->slot3, e->slot2);
        e->w -= rate * sqrt(1 - pow(b2, t)) / (1 - pow(b1, t)) * e->slot1 /
                (sqrt(e->slot3) + h[CK_EPSILON]);
    } else if (kernel == CK_nadam_update) {
        const double mu = b1 * (1 - 0.5 * pow(0.96, t)), next = b1 * (1 - 0.5 * pow(0.96, t + 1));
        e->slot1 += (g - e->slot1) * (1 - b1);
        e->slot2 += (g * g - e->slot2) * (1 - b2);
        e->w -= rate * (next * e->slot1 / (1 - product * next) + (1 - mu) * g / (1 - product)) /
                (sqrt(e->slot2 / (1 - pow(b2, t))) + h[CK_EPSILON]);
    } else if (kernel == CK_adagrad_update) {
        e->slot1 += g * g;
        e->w -= rate * g / sqrt(e->slot1 + h[CK_EPSILON]);
    } else if (kernel == CK_adamax_update) {
        e->slot1 += (g - e->slot1) * (1 - b1);
        e->slot2 = fmax(b2 * e->slot2, fabs(g));
        e->w -= rate / (1 - pow(b1, t)) * e->slot1 / (e->slot2 + h[CK_EPSILON]);
    } else if (kernel == CK_adadelta_update) {
        e->slot1 = b2 * e->slot1 + (1 - b2) * g * g;
        const double d = g * sqrt((e->slot2 + h[CK_EPSILON]) / (e->slot1 + h[CK_EPSILON]));
        e->slot2 = b2 * e->slot2 + (1 - b2) * d * d;
        e->w -= rate * d;
    } else { /* Lion */
        const double c = b1 * e->slot1 + (1 - b1) * g;
        e->w -= rate * (double)((c > 0) - (c < 0));
        e->slot1 = b2 * e->slot1 + (1 - b2) * g;
    }
}

/* clip: an enum ck_hyper of a kind of clipping, or -1. */
static void check_update(int kernel, int slots, int clip) {
    static const ptrdiff_t counts[PARAMETERS] = {1, 37, 5000}; /* the last: several blocks */
    double hyper[CK_HYPER_COUNT] = {
        [CK_LEARNING_RATE] = 0.05, [CK_MOMENTUM] = 0.9,
        [CK_RHO] = 0.95,           [CK_EPSILON] = 1e-3,
        [CK_WEIGHT_DECAY] = 0.01,  [CK_NESTEROV] = kernel == CK_sgd_update,
    };
    if (clip >= 0) hyper[clip] = 2.5;
    struct element *expected[PARAMETERS];
    void *start[PARAMETERS], *g[PARAMETERS];
    double all = 0, own[PARAMETERS] = {0};
    for (int p = 0; p < PARAMETERS; p++) {
        start[p] = fractions(counts[p], 60 + (unsigned)p);
        g[p] = fractions(counts[p], 70 + (unsigned)p);
        expected[p] = allocate(counts[p], sizeof **expected);
        for (ptrdiff_t i = 0; i < counts[p]; i++) {
            /* A variance that begins at one: no division by almost nothing. */
            const double one = kernel == CK_rmsprop_update;
            expected[p][i] = (struct element){get(start[p], i), one, 0, 0};
            own[p] += get(g[p], i) * get(g[p], i);
        }
        all += own[p];
    }
    double products[STEPS + 1] = {1};
    for (int t = 1; t <= STEPS; t++) {
        products[t] = products[t - 1] * hyper[CK_MOMENTUM] * (1 - 0.5 * pow(0.96, t));
        for (int p = 0; p < PARAMETERS; p++) {
            double scale = 1;
            if (clip == CK_CLIP_NORM) scale = fmin(1, 2.5 / sqrt(own[p]));
            if (clip == CK_GLOBAL_CLIP_NORM) scale = fmin(1, 2.5 / sqrt(all));
            for (ptrdiff_t i = 0; i < counts[p]; i++) {
                double d = get(g[p], i) * scale;
                if (clip == CK_CLIP_VALUE) d = fmax(-2.5, fmin(2.5, d));
                reference_step(kernel, hyper, products[t], t, d, &expected[p][i]);
            }
        }
    }
    struct kept kept[PARAMETERS] = {{0}};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_parameter parameters[PARAMETERS];
        uint64_t step = 0;
        for (int p = 0; p < PARAMETERS; p++) {
            void **slot[3] = {&parameters[p].slot1, &parameters[p].slot2, &parameters[p].slot3};
            parameters[p] = (struct ck_parameter){
                .w = copy_of(start[p], counts[p]),
                .g = g[p],
                .count = counts[p],
                .decay = 1,
                .rate = 1,
            };
            for (int s = 0; s < 3; s++) {
                if (!(slots >> s & 1)) continue;
                *slot[s] = allocate(counts[p], real_bytes);
                for (ptrdiff_t i = 0; i < counts[p]; i++)
                    set(*slot[s], i, s == 0 && kernel == CK_rmsprop_update);
            }
        }
        struct ck_update op = {&step, parameters, hyper, PARAMETERS};
        ck_set_num_threads(threads);
        for (int t = 1; t <= STEPS; t++) {
            hyper[CK_MOMENTUM_PRODUCT] = products[t];
            run(kernel, &op);
        }
        if (step != STEPS) exit(1);
        for (int p = 0; p < PARAMETERS; p++) {
            double *w = zeros(counts[p]);
            for (ptrdiff_t i = 0; i < counts[p]; i++) w[i] = expected[p][i].w;
            expect_near(ck_kernel_name(kernel), parameters[p].w, w, counts[p], 2e-5);
            expect_same(ck_kernel_name(kernel), &kept[p], parameters[p].w, counts[p] * real_bytes);
            free(w), free(parameters[p].w), free(parameters[p].slot1), free(parameters[p].slot2);
            free(parameters[p].slot3);
        }
    }
    for (int p = 0; p < PARAMETERS; p++) free(start[p]), free(g[p]), free(expected[p]);
}

/* ---- weights ------------------------------------------------------------------------------- */

static void check_penalty(ptrdiff_t count) {
    void *w = fractions(count, 81);
    double *dw = zeros(count), total = 5;
    const double before = 5, l1 = 0.5, l2 = 0.25;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double at = get(w, i);
        total += l1 * fabs(at) + l2 * at * at;
        dw[i] = l1 * (double)((at > 0) - (at < 0)) + 2 * l2 * at;
    }
    struct kept kept = {0};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        double got = NAN;
        struct ck_penalty op = {&got, unwritten(count), &before, w, count, l1, l2};
        ck_set_num_threads(threads);
        run(CK_penalty, &op);
        expect_number("penalty", got, total, 1e-4 * (double)count);
        expect("penalty dw", op.dw, dw, count);
        expect_same("penalty", &kept, &got, sizeof got);
        free(op.dw);
    }
    free(w), free(dw);
}

static void check_moving_average(ptrdiff_t count) {
    void *start = fractions(count, 83), *batch = fractions(count, 84);
    double *moved = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) moved[i] = 0.75 * get(start, i) + 0.25 * get(batch, i);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_moving_average op = {copy_of(start, count), batch, count, 0.75};
        ck_set_num_threads(threads);
        run(CK_moving_average, &op);
        expect("moving_average", op.moving, moved, count);
        free(op.moving);
    }
    free(start), free(batch), free(moved);
}

static void check_weight_average(ptrdiff_t count) {
    void *start = fractions(count, 85), *weight = fractions(count, 86);
    const double hyper[CK_HYPER_COUNT] = {[CK_AVERAGE_MOMENTUM] = 0.75};
    double *moved = zeros(count), *same = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) {
        moved[i] = 0.75 * get(start, i) + 0.25 * get(weight, i);
        same[i] = get(weight, i);
    }
    EACH_TEAM(threads) {
        uint64_t step = 1;
        struct ck_weight_average op = {
            copy_of(start, count), copy_of(weight, count), &step, hyper, count, 2, 4, 1};
        run(CK_weight_average, &op);
        expect("weight_average from the first step", op.average, same, count);
        memcpy(op.average, start, (size_t)(count * real_bytes));
        step = 3; /* not a multiple of the period: nothing happens */
        run(CK_weight_average, &op);
        step = 2;
        run(CK_weight_average, &op);
        expect("weight_average", op.average, moved, count);
        expect("weight_average's weight", op.w, same, count);
        memcpy(op.average, start, (size_t)(count * real_bytes));
        step = 4;
        run(CK_weight_average, &op);
        expect("weight_average in the weight's place", op.w, moved, count);
        free(op.average), free(op.w);
    }
    free(start), free(weight), free(moved), free(same);
}

/* Norms over the dimensions that `axes` names, brought towards [1, 2] by half. */
static void check_constrain(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t axes) {
    const ptrdiff_t n[4] = {2, 1, rows, cols}, count = 2 * rows * cols;
    void *start = fractions(count, 87);
    double *w = zeros(count), *positive = zeros(count), *squares = zeros(count);
    ptrdiff_t *group = allocate(count, sizeof *group);
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t at[4] = {i / cols / rows, 0, i / cols % rows, i % cols};
        group[i] = 0;
        for (int d = 0; d < 4; d++) group[i] = axes >> d & 1 ? group[i] : group[i] * n[d] + at[d];
        squares[group[i]] += get(start, i) * get(start, i);
        positive[i] = fmax(get(start, i), 0);
    }
    for (ptrdiff_t i = 0; i < count; i++) {
        const double norm = sqrt(squares[group[i]]), clipped = fmax(1, fmin(2, norm));
        w[i] = get(start, i) * (0.5 * clipped + 0.5 * norm) / (1e-7 + norm);
    }
    EACH_TEAM(threads) {
        struct ck_constrain op = {copy_of(start, count), 2, 1, rows, cols, axes, 0, 1, 2, 0.5};
        run(CK_constrain, &op);
        expect_near("constrain", op.w, w, count, 1e-5);
        memcpy(op.w, start, (size_t)(count * real_bytes));
        op.non_negative = 1;
        run(CK_constrain, &op);
        expect("constrain non_negative", op.w, positive, count);
        free(op.w);
    }
    free(start), free(w), free(positive), free(squares), free(group);
}

/* X <- a X + (b A + c A^2) X, A = X X^T, in double. */
static void newton_schulz(double *x, ptrdiff_t rows, ptrdiff_t cols, const double *coefficient) {
    double *gram = zeros(rows * rows), *square = zeros(rows * rows), *next = zeros(rows * cols);
    for (ptrdiff_t i = 0; i < rows * rows; i++)
        for (ptrdiff_t k = 0; k < cols; k++)
            gram[i] += x[i / rows * cols + k] * x[i % rows * cols + k];
    for (ptrdiff_t i = 0; i < rows * rows; i++)
        for (ptrdiff_t k = 0; k < rows; k++)
            square[i] += gram[i / rows * rows + k] * gram[k * rows + i % rows];
    for (ptrdiff_t i = 0; i < rows * cols; i++) {
        next[i] = coefficient[0] * x[i];
        for (ptrdiff_t k = 0; k < rows; k++) {
            const ptrdiff_t at = i / cols * rows + k;
            next[i] +=
                (coefficient[1] * gram[at] + coefficient[2] * square[at]) * x[k * cols + i % cols];
        }
    }
    memcpy(x, next, (size_t)(rows * cols) * sizeof *x);
    free(gram), free(square), free(next);
}

static void check_muon(ptrdiff_t rows, ptrdiff_t cols, int nesterov) {
    enum { ITERATIONS = 3 };
    const ptrdiff_t count = rows * cols;
    const double coefficient[3] = {3.4445, -4.775, 2.0315}, momentum = 0.75;
    void *start = fractions(count, 88), *g = fractions(count, 89), *slot = fractions(count, 90);
    double hyper[CK_HYPER_COUNT] = {[CK_LEARNING_RATE] = 0.25};
    double *x = zeros(count), *w = zeros(count), *moved = zeros(count), squares = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        moved[i] = momentum * get(slot, i) + get(g, i);
        x[i] = nesterov ? get(g, i) + momentum * moved[i] : moved[i];
        squares += x[i] * x[i];
    }
    for (ptrdiff_t i = 0; i < count; i++) x[i] /= sqrt(squares) + 1e-7;
    for (int i = 0; i < ITERATIONS; i++) newton_schulz(x, rows, cols, coefficient);
    /* The learning rate is 0.25 * 0.5. */
    for (ptrdiff_t i = 0; i < count; i++)
        w[i] = get(start, i) * (1 - 0.125 * 0.1) - 0.125 * 2 * x[i];
    struct kept kept = {0};
    EACH_TEAM(threads) {
        uint64_t step = 6;
        struct ck_muon op = {
            .w = copy_of(start, count),
            .slot1 = copy_of(slot, count),
            .step = &step,
            .g = g,
            .hyper = hyper,
            .rows = rows,
            .cols = cols,
            .steps = ITERATIONS,
            .nesterov = nesterov,
            .momentum = momentum,
            .a = coefficient[0],
            .b = coefficient[1],
            .c = coefficient[2],
            .scale = 2,
            .decay = 0.1,
            .rate = 0.5,
        };
        run(CK_muon_update, &op);
        expect("muon's momentum", op.slot1, moved, count);
        expect_near("muon_update", op.w, w, count, 1e-4);
        expect_same("muon_update", &kept, op.w, count * real_bytes);
        expect_number("muon's step", (double)step, 7, 0);
        free(op.w), free(op.slot1);
    }
    free(start), free(g), free(slot), free(x), free(w), free(moved);
}

/* ---- programs ------------------------------------------------------------------------------ */

static int polled;

static int stop(void) {
    polled++;
    return 1;
}

static int go_on(void) { return 0; }

/* What is stopped leaves the update undone; without a stop all runs. */
static void check_program(void) {
    const ptrdiff_t count = 1 << 16;
    void *x = fractions(count, 151), *y = unwritten(count), *state = copy_of(x, count);
    const struct ck_activation busy = {
        .y = y, .x = x, .count = count, .activation = CK_GELU, .alpha = 0};
    const struct ck_affine update = {state, state, count, 2, 0};
    enum { BUSY = 200000 }; /* seconds, where the first poll comes after 50 ms */
    struct ck_instruction *instructions = allocate(BUSY + 1, sizeof *instructions);
    for (int i = 0; i < BUSY; i++)
        instructions[i] = (struct ck_instruction){CK_activation_forward, 1, &busy};
    instructions[BUSY] = (struct ck_instruction){CK_affine, 1, &update};
    double *once = zeros(count), *twice = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) once[i] = get(x, i), twice[i] = 2 * get(x, i);
    EACH_TEAM(threads) {
        struct ck_program program = {kernels, instructions, BUSY + 1, BUSY, {0}};
        program.need = ck_program_scratch(&program);
        polled = 0;
        expect_number("a stopped program", ck_program_run(&program, NULL, stop), 1, 0);
        expect_number("calls of a poll that stops", polled, 1, 0);
        expect("the state after a stop", state, once, count);
        program.instructions = instructions + BUSY - 1;
        program.n_instructions = 2, program.first_update = 1;
        expect_number("a program", ck_program_run(&program, NULL, go_on), 0, 0);
        expect("the state after a program", state, twice, count);
        memcpy(state, x, (size_t)(count * real_bytes));
    }
    free(x), free(y), free(state), free(instructions), free(once), free(twice);
}

void test_training(void) {
    static const ptrdiff_t counts[] = {1, 2, 7, 8, 16, 17, 33, 70};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int kind = 0; kind <= 1; kind++)
            for (int weighted = 0; weighted <= 1; weighted++)
                check_cross_entropy(9, counts[i], kind, weighted);
        check_penalty(counts[i]);
        check_moving_average(counts[i]);
        check_weight_average(counts[i]);
        for (ptrdiff_t axes = 1; axes < 16; axes += 2) check_constrain(3, counts[i], axes);
        check_muon(5, counts[i], 0);
        check_muon(counts[i], 5, 1);
    }
    check_muon(40, 70, 1);
    check_program();
    check_penalty(9000);
    const int clips[] = {-1, CK_CLIP_VALUE, CK_CLIP_NORM, CK_GLOBAL_CLIP_NORM};
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        check_update(CK_sgd_update, 1, clips[i]);
        check_update(CK_rmsprop_update, 7, clips[i]);
        check_update(CK_adam_update, 7, clips[i]);
        check_update(CK_nadam_update, 3, clips[i]);
        check_update(CK_adagrad_update, 1, clips[i]);
        check_update(CK_adamax_update, 3, clips[i]);
        check_update(CK_adadelta_update, 3, clips[i]);
        check_update(CK_lion_update, 1, clips[i]);
    }
}
