/* Making operations, and freeing them. */
#include <stdlib.h>

#include "operation_state.h"

#define STATUS_ACTION ZL_LIT("DescribeInstancesStatus")

/* Append one of the names, for which there is room. */
static zl_view keep_name(zl_operation *op, zl_view name) {
    size_t start = op->names.len;
    zl_buf_add_view(&op->names, name);
    return (zl_view){op->names.data + start, name.len};
}

/* What it is called and where it goes. ZL_ERR_ARG: no version is known. */
static int set_target(zl_operation *op, const zl_operation_options *options, zl_view action) {
    const zl_client *client = op->client;
    zl_view service = zl_buf_view(&client->service);
    zl_view version = zl_buf_view(&client->version);
    if (options->service.len > 0 && !zl_view_equal(options->service, service)) {
        service = options->service;
        version = zl_request_default_version(service);
    }
    version = options->version.len > 0 ? options->version : version;
    /* All of it at once: the views stay where they are. */
    if (!zl_buf_reserve(&op->names, action.len + service.len + version.len)) {
        return ZL_ERR_NOMEM;
    }
    op->name = keep_name(op, action);
    op->service = keep_name(op, service);
    op->version = keep_name(op, version);
    return version.len > 0 ? ZL_OK : ZL_ERR_ARG;
}

static int operation_new(zl_operation **out, zl_client *client, const zl_operation_options *options,
                         const zl_moment *now, zl_view action) {
    *out = NULL;
    zl_operation *op = calloc(1, sizeof *op);
    if (op == NULL) {
        return ZL_ERR_NOMEM;
    }
    zl_client_ref(client);
    op->client = client;
    op->number = ++client->operations;
    op->now_ms = now->mono_ms;
    op->active = calloc(client->max_concurrency, sizeof(zl_task *));
    int rc = op->active != NULL ? set_target(op, options, action) : ZL_ERR_NOMEM;
    if (rc == ZL_OK && (options->max_attempts < 0 || options->deadline_ms < 0)) {
        rc = ZL_ERR_ARG;
    }
    if (rc != ZL_OK) {
        zl_operation_free(op);
        return rc;
    }
    int64_t deadline_ms = options->deadline_ms > 0 ? options->deadline_ms : client->deadline_ms;
    op->policy.deadline_ms = now->mono_ms + deadline_ms;
    op->policy.max_attempts =
        options->max_attempts > 0 ? options->max_attempts : client->max_attempts;
    op->policy.idempotent = true;
    op->parts_tail = &op->parts;
    op->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : client->timeout_ms;
    op->continue_on_error = options->continue_on_error;
    *out = op;
    return ZL_OK;
}

static int new_over_ids(zl_operation **out, zl_client *client, const zl_operation_options *options,
                        const zl_moment *now, zl_ids *ids, zl_view action, zl_aim aim) {
    int rc = operation_new(out, client, options, now, action);
    if (rc != ZL_OK) {
        zl_ids_free(ids);
        return rc;
    }
    zl_operation *op = *out;
    op->aim = aim;
    zl_ids_move(&op->ids, ids);
    return ZL_OK;
}

static int prepare_watch(zl_operation **op, const zl_operation_options *options) {
    int rc = zl_watch_init(&(*op)->watch, (*op)->ids.count, &options->watch);
    if (rc != ZL_OK) {
        zl_operation_free(*op);
        *op = NULL;
    }
    return rc;
}

int zl_operation_new_stop(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_ids *ids,
                          zl_tristate force) {
    int rc = new_over_ids(out, client, options, now, ids, ZL_LIT("StopInstances"), ZL_AIM_STOP);
    if (rc == ZL_OK) {
        (*out)->force = force;
        (*out)->isolate = options->isolate;
        (*out)->waits = options->wait;
    }
    return rc == ZL_OK && options->wait ? prepare_watch(out, options) : rc;
}

int zl_operation_new_wait(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_ids *ids) {
    int rc = new_over_ids(out, client, options, now, ids, STATUS_ACTION, ZL_AIM_WAIT);
    rc = rc == ZL_OK ? prepare_watch(out, options) : rc;
    if (rc != ZL_OK) {
        return rc;
    }
    zl_operation *op = *out;
    op->watch.options.grace_ms = 0; /* there was no stop to be gentle in */
    for (size_t i = 0; i < op->ids.count; i++) {
        zl_watch_add(&op->watch, i, 0);
    }
    zl_watch_start(&op->watch, now);
    op->policy.deadline_ms = op->watch.until_ms;
    op->watching = true;
    return ZL_OK;
}

int zl_operation_new_status(zl_operation **out, zl_client *client,
                            const zl_operation_options *options, const zl_moment *now,
                            zl_ids *ids) {
    zl_view action = STATUS_ACTION;
    if (ids != NULL) {
        return new_over_ids(out, client, options, now, ids, action, ZL_AIM_STATUS);
    }
    int rc = operation_new(out, client, options, now, action);
    if (rc == ZL_OK) {
        (*out)->aim = ZL_AIM_STATUS_PAGES;
        (*out)->calls = 1;
    }
    return rc;
}

int zl_operation_new_call(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_view action,
                          zl_buf *body, bool idempotent) {
    if (!zl_buf_ok(body)) {
        zl_buf_free(body);
        *out = NULL;
        return ZL_ERR_NOMEM;
    }
    int rc = operation_new(out, client, options, now, action);
    if (rc != ZL_OK) {
        zl_buf_free(body);
        return rc;
    }
    zl_operation *op = *out;
    op->aim = ZL_AIM_CALL;
    op->calls = 1;
    op->policy.idempotent = idempotent || zl_view_starts_with(action, ZL_LIT("Describe")) ||
                            zl_view_equal(action, ZL_LIT("StopInstances"));
    op->body = *body;
    *body = (zl_buf){0};
    return ZL_OK;
}

void zl_operation_expect_page(zl_operation *op, int64_t seen, int64_t size) {
    op->aim = ZL_AIM_PAGE;
    op->seen = seen;
    op->page_size = size;
}

void zl_operation_free(zl_operation *op) {
    if (op == NULL) {
        return;
    }
    for (size_t i = 0; op->active != NULL && i < op->active_count; i++) {
        if (op->active[i]->kind == ZL_TASK_WATCH) { /* in no account */
            zl_task_free(op->active[i]);
        }
    }
    for (size_t i = 0; i < op->made; i++) {
        zl_task_free(op->tasks[i]);
    }
    free(op->tasks);
    free(op->active);
    op->client->in_flight -= op->in_flight;
    zl_client_unref(op->client);
    zl_ids_free(&op->ids);
    zl_buf_free(&op->names);
    zl_buf_free(&op->body);
    zl_error_free(&op->error);
    zl_watch_free(&op->watch);
    free(op);
}
