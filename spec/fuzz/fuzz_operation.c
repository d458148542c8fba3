/* Operations, step by step: each line of the input is something that happens next. Whatever it is,
 * what world.c knows to be true stays true; and once the input is over, they come to an end.
 *
 * Input: a line that says what the client and its first operation are like, then a line for each
 * event. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { STEPS_MAX = 20000 };

/* --- answers ---------------------------------------------------------------------------------- */

/* What an answer consists of; it lives until the next one is made. */
static zl_status rows[ZL_REQUEST_IDS_MAX + 2];
static zl_view failed[4];

static zl_view id_of(const world *w, const flight *f, size_t i) {
    op_truth *o = (op_truth *)&w->ops[f->op];
    return zl_ids_at(zl_operation_ids(o->op), world_call(o, f->n)->ids[i]);
}

static zl_answer accepted(void) {
    zl_answer a;
    zl_answer_init(&a, 200);
    a.is_object = a.is_well_formed = true;
    a.request_id = ZL_LIT("T-1");
    return a;
}

/* The statuses of the ids of a look: all the same, or each another; some may be absent. */
static void add_rows(const world *w, const flight *f, input *in, zl_answer *a) {
    static const char *const statuses[] = {
        "STOPPED",       "STOPPING", "RUNNING", "RECYCLE",   "RELEASING",
        "CREATE_FAILED", "",         "BOOTING", "RECYCLING", NULL};
    size_t first = input_byte(in), stride = input_chance(in, 64) ? input_byte(in) : 0;
    size_t count = world_call((op_truth *)&w->ops[f->op], f->n)->count;
    a->item_count = 0;
    for (size_t i = 0; i < count; i++) {
        const char *status = statuses[(first + i * stride) % COUNT(statuses)];
        if (status != NULL) {
            rows[a->item_count++] = (zl_status){id_of(w, f, i), zl_view_of(status)};
        }
    }
    if (first >= 250) { /* of an id that nobody asked for; of one that was told */
        rows[a->item_count++] = (zl_status){ZL_LIT("other"), ZL_LIT("STOPPED")};
        rows[a->item_count++] = (zl_status){id_of(w, f, 0), ZL_LIT("RUNNING")};
    }
    a->statuses = rows;
    a->total_count = (int64_t)a->item_count;
}

/* A success that fits what was asked. */
static zl_answer success(const world *w, const flight *f, input *in) {
    zl_answer a = accepted();
    const op_truth *o = &w->ops[f->op];
    if (o->aim == ZL_AIM_STATUS_PAGES) {
        a.total_count = (int64_t)input_below(in, 8) * 700;
        int64_t left = a.total_count - o->seen;
        a.item_count = (size_t)(left < 0 ? 0 : left < 1000 ? left : 1000);
    } else if (o->aim == ZL_AIM_PAGE) {
        a.total_count = (int64_t)input_below(in, 8) * 30;
        int64_t left = a.total_count > o->seen ? a.total_count - o->seen : 0;
        a.item_count = (size_t)(o->page_size > 0 && o->page_size < left ? o->page_size : left);
    } else if (zl_operation_expects(o->op, f->n) == ZL_AIM_STATUS) {
        add_rows(w, f, in, &a);
    }
    return a;
}

static zl_answer partial_failure(const world *w, const flight *f, input *in) {
    zl_answer a = accepted();
    size_t count = world_call((op_truth *)&w->ops[f->op], f->n)->count;
    size_t wanted = 1 + input_below(in, COUNT(failed));
    for (size_t i = 0; i < wanted && count > 0; i++) { /* some twice, maybe */
        failed[a.failed_count++] = id_of(w, f, input_byte(in) % count);
    }
    if (input_chance(in, 32)) {
        failed[0] = ZL_LIT("foreign");
        a.failed_count = a.failed_count > 0 ? a.failed_count : 1;
    }
    a.failed_ids = failed;
    return a;
}

static zl_answer refusal(int status, const char *code) {
    zl_answer a = accepted();
    a.status = status;
    a.is_well_formed = a.has_code = code != NULL;
    a.is_object = code != NULL;
    a.code = zl_view_of(code);
    a.message = ZL_LIT("what the server says");
    return a;
}

static zl_answer any_refusal(input *in) {
    static const struct {
        int status;
        const char *code;
    } known[] = {
        {400, "INVALID_INSTANCE_NOT_FOUND"},
        {400, "OPERATION_DENIED_INSTANCE_NOT_RUNNING"},
        {400, "OPERATION_DENIED_INSTANCE_RECYCLED"},
        {409, "OPERATION_FAILED_RESOURCE_NOT_FOUND"},
        {401, "AUTHFAILURE_SIGNATURE_EXPIRED"},
        {401, "AUTHFAILURE_SIGNATURE_FAILURE"},
        {403, "AUTHFAILURE_UNAUTHORIZED_OPERATION"},
        {404, NULL},
        {408, NULL},
        {408, "SLOW"},
        {302, NULL},
        {451, NULL},
        {500, "INTERNAL_SERVER_ERROR"},
        {502, NULL},
        {200, "HM"},
        {200, NULL},
        {429, NULL},
        {429, "REQUEST_LIMIT_EXCEEDED"},
        {204, NULL},
        {999, "INVALID_INSTANCE_NOT_FOUND"},
    };
    size_t choice = input_below(in, COUNT(known));
    return refusal(known[choice].status, known[choice].code);
}

static void add_head(zl_answer *a, const world *w, input *in) {
    switch (input_below(in, 6)) {
    case 0: a->retry_after_s = input_byte(in); break;
    case 1: a->retry_after_s = (int64_t)input_number(in, 5); break;
    case 2: a->retry_date_s = WORLD_WALL_S + w->now_ms / 1000 + (int8_t)input_byte(in); break;
    case 3: a->date_s = WORLD_WALL_S + w->now_ms / 1000; break;
    case 4: a->date_s = (int64_t)input_number(in, 4); break;
    default: break;
    }
}

static zl_answer any_answer(const world *w, const flight *f, input *in) {
    zl_answer a;
    size_t most;
    switch (input_below(in, 8)) {
    case 0: a = partial_failure(w, f, in); break;
    case 1:
        a = success(w, f, in);
        most = input_below(in, 3);
        a.item_count = a.item_count < most ? a.item_count : most;
        break;
    case 2:
        a = success(w, f, in);
        a.status = 100 + (int)(input_number(in, 2) % 900);
        a.is_well_formed = input_chance(in, 128);
        break;
    default: a = any_refusal(in); break;
    }
    add_head(&a, w, in);
    return a;
}

static void fail_somehow(world *w, size_t i, input *in) {
    static const zl_code codes[] = {
        ZL_CODE_CONNECTION_LOST,    ZL_CODE_TIMEOUT,
        ZL_CODE_CONNECT_FAILED,     ZL_CODE_CONNECT_TIMEOUT,
        ZL_CODE_RESPONSE_TOO_LARGE, ZL_CODE_TLS_VERIFY_FAILED,
        ZL_CODE_BAD_RESPONSE,       ZL_CODE_CANCELLED,
        ZL_CODE_NOT_CONFIGURED,
    };
    zl_code code = codes[input_below(in, COUNT(codes))];
    world_fail(w, i, code, input_chance(in, 128));
}

/* --- what happens ----------------------------------------------------------------------------- */

static void report(world *w, input *in) {
    if (w->flight_count == 0) {
        return;
    }
    size_t i = input_below(in, w->flight_count), sort = input_below(in, 4);
    const flight f = w->flights[i];
    zl_answer a;
    w->fair = w->fair && sort > 1;
    switch (sort) {
    case 0: fail_somehow(w, i, in); return;
    case 1: a = any_answer(w, &f, in); break;
    default: a = success(w, &f, in); break;
    }
    world_answer(w, i, &a);
}

static void pass_time(world *w, int64_t ms) {
    w->now_ms += ms;
    w->fair = w->fair && ms == 0;
}

/* Ask all, until none has anything to do now. How long they would wait; -1: all are done. */
static int64_t ask_all(world *w, size_t most) {
    int64_t least = -1;
    for (size_t i = 0; i < w->op_count; i++) {
        int64_t wish = w->ops[i].op == NULL ? -1 : 0;
        for (size_t k = 0; k < most && wish == 0; k++) {
            wish = world_step(w, i);
        }
        least = wish >= 0 && (least < 0 || wish < least) ? wish : least;
    }
    return least;
}

/* One more event. Half of them are reports. */
static void happen(world *w, input *in) {
    size_t sort = input_below(in, 32), turn = input_byte(in), op = turn % w->op_count;
    bool is_there = w->ops[op].op != NULL;
    zl_answer stray = accepted();
    w->random = (double)turn / 256;
    switch (sort) {
    case 0:
    case 1:
    case 2:
    case 3: {
        int64_t wish = ask_all(w, 64);
        bool passes = sort == 3 || (sort > 0 && w->flight_count == 0);
        pass_time(w, wish > 0 && passes ? wish : 0);
        break;
    }
    case 4: pass_time(w, input_byte(in)); break;
    case 5: pass_time(w, (int64_t)input_number(in, 2)); break;
    case 6:
    case 7:
        if (w->asked) {
            world_give_credentials(w, (int64_t)input_number(in, 3));
        }
        break;
    case 8:
        if (w->asked && !input_chance(in, 64)) {
            world_lack_credentials(w);
        }
        break;
    case 9: w->client->hold = !w->client->hold; break;
    case 10: w->failing_from = 1 + input_below(in, 16); break;
    case 11: world_add(w, in); break;
    default:
        if (sort >= 16) {
            report(w, in);
        } else if (is_there && sort == 12 && input_chance(in, 32)) {
            world_free(w, op);
        } else if (is_there && sort == 13 && input_chance(in, 64)) {
            world_cancel(w, op);
        } else if (is_there && sort == 14) {
            world_report_stray(w, op, input_byte(in), &stray);
        } else if (is_there) {
            (void)world_step(w, op);
        }
    }
}

/* Nothing goes wrong any more, or nothing comes any more; either way there is an end. */
static void finish(world *w, bool silence) {
    input nothing = {NULL, 0};
    w->client->hold = false;
    w->failing_from = 0;
    for (size_t steps = 0;; steps++) {
        CHECK(steps < STEPS_MAX);
        int64_t wish = ask_all(w, STEPS_MAX);
        if (wish < 0) {
            break;
        }
        if (w->asked && !silence) {
            world_give_credentials(w, 0);
        } else if (w->flight_count > 0 && !silence) {
            zl_answer a = success(w, &w->flights[0], &nothing);
            world_answer(w, 0, &a);
        } else {
            CHECK(!w->fair || silence); /* there is nothing to wait for */
            pass_time(w, wish);
        }
    }
    for (size_t i = 0; i < w->op_count && w->fair; i++) {
        CHECK(w->ops[i].op == NULL || zl_operation_error(w->ops[i].op) == NULL);
    }
}

static input next_line(input *in) {
    zl_view line = input_line(in);
    return (input){(const uint8_t *)line.data, line.len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static world w;
    input in = {data, size}, line = next_line(&in);
    bool silence = input_chance(&line, 64);
    world_begin(&w, &line);
    world_add(&w, &line);
    while (in.left > 0 && w.op_count > 0) {
        line = next_line(&in);
        happen(&w, &line);
    }
    finish(&w, silence);
    world_end(&w);
    return 0;
}
