/* layout.c: the op structs, field by field, for callers that fill them as arrays of slots. */
#include "convkit.h"

#include <string.h>

#define FIELD(f)                                                                                   \
    {#f, offsetof(struct CURRENT, f),                                                              \
     _Generic(((struct CURRENT *)0)->f, ptrdiff_t: 'i', double: 'd', default: 'p')}

/* A struct in which every field has 8 bytes and is listed leaves no gap: its size says so. */
#define LAYOUT(name)                                                                               \
    _Static_assert(sizeof(struct name) == 8 * (sizeof name##_fields / sizeof *name##_fields),      \
                   "layout.c must list every field of " #name)

#define CURRENT ck_conv2d
static const struct ck_field ck_conv2d_fields[] = {
    FIELD(y),          FIELD(z),         FIELD(argmax),   FIELD(batch_mean), FIELD(batch_variance),
    FIELD(dx),         FIELD(dw),        FIELD(db),       FIELD(packed),     FIELD(dgamma),
    FIELD(dbeta),      FIELD(mean_g),    FIELD(mean_gx),  FIELD(x),          FIELD(w),
    FIELD(b),          FIELD(dy),        FIELD(mean),     FIELD(variance),   FIELD(gamma),
    FIELD(beta),       FIELD(addend),    FIELD(norm_x),   FIELD(n),          FIELD(ih),
    FIELD(iw),         FIELD(c),         FIELD(oh),       FIELD(ow),         FIELD(k),
    FIELD(kh),         FIELD(kw),        FIELD(stride_h), FIELD(stride_w),   FIELD(dilation_h),
    FIELD(dilation_w), FIELD(pad_top),   FIELD(pad_left), FIELD(groups),     FIELD(activation),
    FIELD(alpha),      FIELD(algorithm), FIELD(pool),     FIELD(epsilon)};
LAYOUT(ck_conv2d);
#undef CURRENT

#define CURRENT ck_dense
static const struct ck_field ck_dense_fields[] = {
    FIELD(y), FIELD(z),  FIELD(dx), FIELD(dw), FIELD(db), FIELD(packed),     FIELD(x),    FIELD(w),
    FIELD(b), FIELD(dy), FIELD(m),  FIELD(c),  FIELD(k),  FIELD(activation), FIELD(alpha)};
LAYOUT(ck_dense);
#undef CURRENT

#define CURRENT ck_pool2d
static const struct ck_field ck_pool2d_fields[] = {FIELD(y),
                                                   FIELD(argmax),
                                                   FIELD(dx),
                                                   FIELD(x),
                                                   FIELD(dy),
                                                   FIELD(n),
                                                   FIELD(ih),
                                                   FIELD(iw),
                                                   FIELD(c),
                                                   FIELD(oh),
                                                   FIELD(ow),
                                                   FIELD(kh),
                                                   FIELD(kw),
                                                   FIELD(stride_h),
                                                   FIELD(stride_w),
                                                   FIELD(pad_top),
                                                   FIELD(pad_left),
                                                   FIELD(argmax_bytes),
                                                   FIELD(count_include_pad)};
LAYOUT(ck_pool2d);
#undef CURRENT

#define CURRENT ck_batch_norm
static const struct ck_field ck_batch_norm_fields[] = {
    FIELD(y),        FIELD(argmax),  FIELD(mean),       FIELD(variance), FIELD(dx),
    FIELD(dgamma),   FIELD(dbeta),   FIELD(x),          FIELD(gamma),    FIELD(beta),
    FIELD(residual), FIELD(dy),      FIELD(mean_g),     FIELD(mean_gx),  FIELD(rows),
    FIELD(c),        FIELD(epsilon), FIELD(activation), FIELD(alpha),    FIELD(pool),
    FIELD(width)};
LAYOUT(ck_batch_norm);
#undef CURRENT

#define CURRENT ck_activation
static const struct ck_field ck_activation_fields[] = {
    FIELD(y), FIELD(dx), FIELD(x), FIELD(dy), FIELD(count), FIELD(activation), FIELD(alpha)};
LAYOUT(ck_activation);
#undef CURRENT

#define CURRENT ck_group_norm
static const struct ck_field ck_group_norm_fields[] = {
    FIELD(y), FIELD(mean),   FIELD(inverse), FIELD(dx),         FIELD(dgamma), FIELD(dbeta),
    FIELD(x), FIELD(gamma),  FIELD(beta),    FIELD(dy),         FIELD(n),      FIELD(pixels),
    FIELD(c), FIELD(groups), FIELD(epsilon), FIELD(activation), FIELD(alpha)};
LAYOUT(ck_group_norm);
#undef CURRENT

#define CURRENT ck_adaptive_pool2d
static const struct ck_field ck_adaptive_pool2d_fields[] = {
    FIELD(y),  FIELD(argmax), FIELD(dx), FIELD(x),  FIELD(dy), FIELD(n),
    FIELD(ih), FIELD(iw),     FIELD(c),  FIELD(oh), FIELD(ow)};
LAYOUT(ck_adaptive_pool2d);
#undef CURRENT

#define CURRENT ck_upsample2d
static const struct ck_field ck_upsample2d_fields[] = {
    FIELD(y),  FIELD(dx), FIELD(x),        FIELD(dy),       FIELD(n),       FIELD(ih),
    FIELD(iw), FIELD(c),  FIELD(factor_h), FIELD(factor_w), FIELD(bilinear)};
LAYOUT(ck_upsample2d);
#undef CURRENT

#define CURRENT ck_binary
static const struct ck_field ck_binary_fields[] = {
    FIELD(y),  FIELD(z),  FIELD(a),  FIELD(b),    FIELD(dy),   FIELD(n0),         FIELD(n1),
    FIELD(n2), FIELD(n3), FIELD(a0), FIELD(a1),   FIELD(a2),   FIELD(a3),         FIELD(b0),
    FIELD(b1), FIELD(b2), FIELD(b3), FIELD(kind), FIELD(side), FIELD(activation), FIELD(alpha)};
LAYOUT(ck_binary);
#undef CURRENT

#define CURRENT ck_reduce
static const struct ck_field ck_reduce_fields[] = {
    FIELD(y), FIELD(x), FIELD(z), FIELD(outer), FIELD(size), FIELD(inner), FIELD(scale)};
LAYOUT(ck_reduce);
#undef CURRENT

#define CURRENT ck_unary
static const struct ck_field ck_unary_fields[] = {FIELD(y),     FIELD(dx),    FIELD(x),
                                                  FIELD(dy),    FIELD(count), FIELD(kind),
                                                  FIELD(alpha), FIELD(low),   FIELD(high)};
LAYOUT(ck_unary);
#undef CURRENT

#define CURRENT ck_softmax
static const struct ck_field ck_softmax_fields[] = {FIELD(y),  FIELD(dx),   FIELD(x),
                                                    FIELD(dy), FIELD(rows), FIELD(cols)};
LAYOUT(ck_softmax);
#undef CURRENT

#define CURRENT ck_cross_entropy
static const struct ck_field ck_cross_entropy_fields[] = {
    FIELD(loss),      FIELD(mean_loss), FIELD(probabilities),   FIELD(dx),
    FIELD(x),         FIELD(labels),    FIELD(weights),         FIELD(n),
    FIELD(positions), FIELD(classes),   FIELD(label_kind),      FIELD(from_logits),
    FIELD(reduction), FIELD(focal),     FIELD(label_smoothing), FIELD(alpha),
    FIELD(gamma)};
LAYOUT(ck_cross_entropy);
#undef CURRENT

#define CURRENT ck_element_loss
static const struct ck_field ck_element_loss_fields[] = {
    FIELD(loss),   FIELD(mean_loss), FIELD(dx),        FIELD(x),
    FIELD(target), FIELD(weights),   FIELD(n),         FIELD(positions),
    FIELD(cols),   FIELD(kind),      FIELD(reduction), FIELD(label_smoothing),
    FIELD(alpha),  FIELD(gamma)};
LAYOUT(ck_element_loss);
#undef CURRENT

#define CURRENT ck_loss_sum
static const struct ck_field ck_loss_sum_fields[] = {FIELD(total), FIELD(a), FIELD(b),
                                                     FIELD(weight_a), FIELD(weight_b)};
LAYOUT(ck_loss_sum);
#undef CURRENT

#define CURRENT ck_dropout
static const struct ck_field ck_dropout_fields[] = {FIELD(y),      FIELD(x),    FIELD(step),
                                                    FIELD(count),  FIELD(seed), FIELD(stream),
                                                    FIELD(pixels), FIELD(c),    FIELD(rate)};
LAYOUT(ck_dropout);
#undef CURRENT

#define CURRENT ck_random_normal
static const struct ck_field ck_random_normal_fields[] = {
    FIELD(y), FIELD(step), FIELD(count), FIELD(seed), FIELD(stream), FIELD(mean), FIELD(stddev)};
LAYOUT(ck_random_normal);
#undef CURRENT

#define CURRENT ck_gather
static const struct ck_field ck_gather_fields[] = {
    FIELD(y), FIELD(x), FIELD(index), FIELD(n), FIELD(cols), FIELD(source_type), FIELD(x_rows)};
LAYOUT(ck_gather);
#undef CURRENT

#define CURRENT ck_draw_map
static const struct ck_field ck_draw_map_fields[] = {
    FIELD(map),      FIELD(sample),   FIELD(step),        FIELD(base),      FIELD(n),
    FIELD(ih),       FIELD(iw),       FIELD(oh),          FIELD(ow),        FIELD(seed),
    FIELD(stream),   FIELD(flip),     FIELD(alternating), FIELD(fill_mode), FIELD(top_low),
    FIELD(top_high), FIELD(left_low), FIELD(left_high)};
LAYOUT(ck_draw_map);
#undef CURRENT

#define CURRENT ck_gather_images
static const struct ck_field ck_gather_images_fields[] = {
    FIELD(y),          FIELD(x),    FIELD(index),       FIELD(map),    FIELD(mean),
    FIELD(variance),   FIELD(n),    FIELD(ih),          FIELD(iw),     FIELD(c),
    FIELD(oh),         FIELD(ow),   FIELD(source_type), FIELD(x_rows), FIELD(rescale),
    FIELD(fill_stage), FIELD(fill), FIELD(scale),       FIELD(offset), FIELD(epsilon)};
LAYOUT(ck_gather_images);
#undef CURRENT

#define CURRENT ck_draw_transform
static const struct ck_field ck_draw_transform_fields[] = {
    FIELD(transform),   FIELD(sample),      FIELD(step),         FIELD(n),
    FIELD(ih),          FIELD(iw),          FIELD(oh),           FIELD(ow),
    FIELD(seed),        FIELD(stream),      FIELD(same_zoom),    FIELD(angle_low),
    FIELD(angle_high),  FIELD(zoom_h_low),  FIELD(zoom_h_high),  FIELD(zoom_w_low),
    FIELD(zoom_w_high), FIELD(shift_h_low), FIELD(shift_h_high), FIELD(shift_w_low),
    FIELD(shift_w_high)};
LAYOUT(ck_draw_transform);
#undef CURRENT

#define CURRENT ck_warp
static const struct ck_field ck_warp_fields[] = {
    FIELD(y), FIELD(x),  FIELD(transform), FIELD(n),        FIELD(ih),        FIELD(iw),
    FIELD(c), FIELD(oh), FIELD(ow),        FIELD(bilinear), FIELD(fill_mode), FIELD(fill)};
LAYOUT(ck_warp);
#undef CURRENT

#define CURRENT ck_draw_uniform
static const struct ck_field ck_draw_uniform_fields[] = {FIELD(y),   FIELD(sample), FIELD(step),
                                                         FIELD(n),   FIELD(seed),   FIELD(stream),
                                                         FIELD(low), FIELD(high)};
LAYOUT(ck_draw_uniform);
#undef CURRENT

#define CURRENT ck_adjust
static const struct ck_field ck_adjust_fields[] = {FIELD(y),        FIELD(x),      FIELD(factor),
                                                   FIELD(n),        FIELD(pixels), FIELD(c),
                                                   FIELD(contrast), FIELD(low),    FIELD(high)};
LAYOUT(ck_adjust);
#undef CURRENT

#define CURRENT ck_draw_erase
static const struct ck_field ck_draw_erase_fields[] = {
    FIELD(box),         FIELD(sample),    FIELD(step),      FIELD(n),    FIELD(h),
    FIELD(w),           FIELD(seed),      FIELD(stream),    FIELD(size), FIELD(factor_low),
    FIELD(factor_high), FIELD(scale_low), FIELD(scale_high)};
LAYOUT(ck_draw_erase);
#undef CURRENT

#define CURRENT ck_erase
static const struct ck_field ck_erase_fields[] = {
    FIELD(y), FIELD(x), FIELD(box), FIELD(fill), FIELD(sample), FIELD(step), FIELD(n),
    FIELD(h), FIELD(w), FIELD(c),   FIELD(seed), FIELD(stream), FIELD(low),  FIELD(high)};
LAYOUT(ck_erase);
#undef CURRENT

#define CURRENT ck_draw_mix
static const struct ck_field ck_draw_mix_fields[] = {
    FIELD(partner), FIELD(weight), FIELD(box),  FIELD(sample), FIELD(step),      FIELD(n),
    FIELD(h),       FIELD(w),      FIELD(seed), FIELD(stream), FIELD(alpha_low), FIELD(alpha_high)};
LAYOUT(ck_draw_mix);
#undef CURRENT

#define CURRENT ck_mix
static const struct ck_field ck_mix_fields[] = {FIELD(y),      FIELD(x),   FIELD(partner),
                                                FIELD(weight), FIELD(box), FIELD(n),
                                                FIELD(h),      FIELD(w),   FIELD(c)};
LAYOUT(ck_mix);
#undef CURRENT

#define CURRENT ck_one_hot
static const struct ck_field ck_one_hot_fields[] = {FIELD(y), FIELD(labels), FIELD(n),
                                                    FIELD(classes)};
LAYOUT(ck_one_hot);
#undef CURRENT

#define CURRENT ck_add
static const struct ck_field ck_add_fields[] = {FIELD(y),     FIELD(a),          FIELD(b),
                                                FIELD(count), FIELD(activation), FIELD(alpha)};
LAYOUT(ck_add);
#undef CURRENT

#define CURRENT ck_affine
static const struct ck_field ck_affine_fields[] = {FIELD(y), FIELD(x), FIELD(count), FIELD(scale),
                                                   FIELD(offset)};
LAYOUT(ck_affine);
#undef CURRENT

#define CURRENT ck_copy
static const struct ck_field ck_copy_fields[] = {FIELD(y),  FIELD(x),  FIELD(n0), FIELD(n1),
                                                 FIELD(n2), FIELD(n3), FIELD(y0), FIELD(y1),
                                                 FIELD(y2), FIELD(x0), FIELD(x1), FIELD(x2)};
LAYOUT(ck_copy);
#undef CURRENT

#define CURRENT ck_permute
static const struct ck_field ck_permute_fields[] = {
    FIELD(y),  FIELD(x),  FIELD(n0), FIELD(n1), FIELD(n2), FIELD(n3), FIELD(n4),
    FIELD(n5), FIELD(x0), FIELD(x1), FIELD(x2), FIELD(x3), FIELD(x4), FIELD(x5)};
LAYOUT(ck_permute);
#undef CURRENT

#define CURRENT ck_fill
static const struct ck_field ck_fill_fields[] = {FIELD(y), FIELD(count), FIELD(value)};
LAYOUT(ck_fill);
#undef CURRENT

#define CURRENT ck_moving_average
static const struct ck_field ck_moving_average_fields[] = {FIELD(moving), FIELD(batch),
                                                           FIELD(count), FIELD(momentum)};
LAYOUT(ck_moving_average);
#undef CURRENT

#define CURRENT ck_penalty
static const struct ck_field ck_penalty_fields[] = {
    FIELD(total), FIELD(dw), FIELD(mean_loss), FIELD(w), FIELD(count), FIELD(l1), FIELD(l2)};
LAYOUT(ck_penalty);
#undef CURRENT

#define CURRENT ck_constrain
static const struct ck_field ck_constrain_fields[] = {
    FIELD(w),    FIELD(n0),           FIELD(n1),  FIELD(n2),   FIELD(n3),
    FIELD(axes), FIELD(non_negative), FIELD(low), FIELD(high), FIELD(rate)};
LAYOUT(ck_constrain);
#undef CURRENT

#define CURRENT ck_weight_average
static const struct ck_field ck_weight_average_fields[] = {
    FIELD(average), FIELD(w),      FIELD(step),      FIELD(hyper),
    FIELD(count),   FIELD(period), FIELD(overwrite), FIELD(from_first)};
LAYOUT(ck_weight_average);
#undef CURRENT

#define CURRENT ck_parameter
static const struct ck_field ck_parameter_fields[] = {FIELD(w),     FIELD(slot1), FIELD(slot2),
                                                      FIELD(slot3), FIELD(g),     FIELD(count),
                                                      FIELD(decay), FIELD(rate)};
LAYOUT(ck_parameter);
#undef CURRENT

#define CURRENT ck_update
static const struct ck_field ck_update_fields[] = {FIELD(step), FIELD(parameters), FIELD(hyper),
                                                   FIELD(n_parameters)};
LAYOUT(ck_update);
#undef CURRENT

#define CURRENT ck_muon
static const struct ck_field ck_muon_fields[] = {
    FIELD(w),    FIELD(slot1), FIELD(step),     FIELD(g),        FIELD(hyper), FIELD(rows),
    FIELD(cols), FIELD(steps), FIELD(nesterov), FIELD(momentum), FIELD(a),     FIELD(b),
    FIELD(c),    FIELD(scale), FIELD(decay),    FIELD(rate)};
LAYOUT(ck_muon);
#undef CURRENT

#define CURRENT ck_probe
static const struct ck_field ck_probe_fields[] = {FIELD(y), FIELD(count), FIELD(repeats)};
LAYOUT(ck_probe);
#undef CURRENT

#define CURRENT ck_streams
static const struct ck_field ck_streams_fields[] = {FIELD(passes), FIELD(n), FIELD(past_caches)};
LAYOUT(ck_streams);
#undef CURRENT

#define ENTRY(name)                                                                                \
    {#name, sizeof(struct name), name##_fields, sizeof name##_fields / sizeof *name##_fields}

/* clang-format off: one to a line */
static const struct ck_layout layouts[] = {
    ENTRY(ck_activation),
    ENTRY(ck_adaptive_pool2d),
    ENTRY(ck_add),
    ENTRY(ck_adjust),
    ENTRY(ck_affine),
    ENTRY(ck_batch_norm),
    ENTRY(ck_binary),
    ENTRY(ck_constrain),
    ENTRY(ck_conv2d),
    ENTRY(ck_copy),
    ENTRY(ck_cross_entropy),
    ENTRY(ck_dense),
    ENTRY(ck_draw_erase),
    ENTRY(ck_draw_map),
    ENTRY(ck_draw_mix),
    ENTRY(ck_draw_transform),
    ENTRY(ck_draw_uniform),
    ENTRY(ck_dropout),
    ENTRY(ck_random_normal),
    ENTRY(ck_element_loss),
    ENTRY(ck_erase),
    ENTRY(ck_fill),
    ENTRY(ck_gather),
    ENTRY(ck_gather_images),
    ENTRY(ck_group_norm),
    ENTRY(ck_loss_sum),
    ENTRY(ck_mix),
    ENTRY(ck_moving_average),
    ENTRY(ck_muon),
    ENTRY(ck_one_hot),
    ENTRY(ck_parameter),
    ENTRY(ck_penalty),
    ENTRY(ck_permute),
    ENTRY(ck_pool2d),
    ENTRY(ck_probe),
    ENTRY(ck_streams),
    ENTRY(ck_reduce),
    ENTRY(ck_softmax),
    ENTRY(ck_unary),
    ENTRY(ck_update),
    ENTRY(ck_upsample2d),
    ENTRY(ck_warp),
    ENTRY(ck_weight_average),
};
/* clang-format on */

const struct ck_layout *ck_layout_of(const char *struct_name) {
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (strcmp(layouts[i].name, struct_name) == 0) return &layouts[i];
    return NULL;
}

static const char *const kernel_names[][2] = {
#define K(kernel, op) {#kernel, #op},
    CK_KERNELS(K)
#undef K
};

const char *ck_kernel_name(int id) { return kernel_names[id][0]; }
const char *ck_kernel_struct(int id) { return kernel_names[id][1]; }
