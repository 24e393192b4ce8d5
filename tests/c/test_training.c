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

static void check_squared_error(ptrdiff_t n, ptrdiff_t cols) {
    const ptrdiff_t count = n * cols;
    void *x = fractions(count, 53), *target = fractions(count, 54);
    double *loss = zeros(n), *dx = zeros(count), mean = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double away = get(x, i) - get(target, i);
        loss[i / cols] += away * away / (double)cols;
        dx[i] = 2 * away / (double)count;
        mean += away * away / (double)count;
    }
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        double got = NAN;
        struct ck_element_loss op = {
            .loss = unwritten(n),
            .mean_loss = &got,
            .dx = unwritten(count),
            .x = x,
            .target = target,
            .n = n,
            .positions = 1,
            .cols = cols,
            .kind = CK_SQUARED_ERROR,
        };
        ck_set_num_threads(threads);
        run(CK_element_loss, &op);
        expect_near("mean_squared_error loss", op.loss, loss, n, 1e-4);
        expect_near("mean_squared_error dx", op.dx, dx, count, 1e-5);
        expect_number("mean_squared_error mean", got, mean, 1e-4);
        free(op.loss), free(op.dx);
    }
    free(x), free(target), free(loss), free(dx);
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

void test_training(void) {
    static const ptrdiff_t counts[] = {1, 2, 7, 8, 16, 17, 33, 70};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int kind = 0; kind <= 1; kind++)
            for (int weighted = 0; weighted <= 1; weighted++)
                check_cross_entropy(9, counts[i], kind, weighted);
        check_squared_error(5, counts[i]);
        check_squared_error(counts[i], 6);
        check_penalty(counts[i]);
        check_moving_average(counts[i]);
    }
    check_penalty(9000);
    const int clips[] = {-1, CK_CLIP_VALUE, CK_CLIP_NORM, CK_GLOBAL_CLIP_NORM};
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        check_update(CK_sgd_update, 1, clips[i]);
        check_update(CK_rmsprop_update, 7, clips[i]);
        check_update(CK_adam_update, 7, clips[i]);
        check_update(CK_nadam_update, 3, clips[i]);
        check_update(CK_adagrad_update, 1, clips[i]);
        check_update(CK_lion_update, 1, clips[i]);
    }
}
