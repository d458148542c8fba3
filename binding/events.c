#include "events.h"

#include "../api/clock.h"
#include "../api/hot.h"
#include "errors.h"
#include "kept.h"
#include "options.h"

static void set_seconds(lua_State *L, const char *name, int64_t ms) {
    if (ms >= 0) {
        lua_pushnumber(L, (lua_Number)ms / 1000);
        lua_setfield(L, -2, name);
    }
}

static void set_count(lua_State *L, const char *name, int64_t count) {
    if (count > 0) {
        lua_pushinteger(L, (lua_Integer)count);
        lua_setfield(L, -2, name);
    }
}

/* epoch_ms: UNIX time when the monotonic clock stood at 0. */
static void push_event(lua_State *L, const zl_event *event, int64_t epoch_ms) {
    bool settled = event->kind == ZL_EVENT_BATCH_SETTLED;
    lua_createtable(L, 0, 12);
    zlb_set_text(L, "event", zl_event_name(event->kind));
    set_seconds(L, "time", epoch_ms + event->mono_ms);
    set_count(L, "operation", (int64_t)event->operation);
    set_count(L, "call", (int64_t)event->call);
    set_count(L, settled ? "attempts" : "attempt", event->attempt);
    set_count(L, "instances", (int64_t)event->id_count);
    set_count(L, "http_status", event->status);
    zlb_set_view(L, "action", zl_buf_view(&event->action));
    zlb_set_view(L, "code", zl_buf_view(&event->code));
    zlb_set_view(L, "request_id", zl_buf_view(&event->request_id));
    zlb_set_view(L, "address", zl_buf_view(&event->address));
    set_seconds(L, "duration", event->duration_ms);
    set_seconds(L, "delay", event->delay_ms);
    if (event->has_outcome) {
        zlb_set_text(L, "outcome", zl_outcome_name(event->outcome));
    }
    if (event->kind == ZL_EVENT_CLOCK_CORRECTED) {
        lua_pushinteger(L, (lua_Integer)event->offset_s);
        lua_setfield(L, -2, "offset");
    }
}

/* (an event, client): calls its on_event. */
static int call_on_event(lua_State *L) {
    const zl_event *event = zlb_kept_argument(L);
    const zlb_client *client = lua_touserdata(L, 2);
    luaL_checkstack(L, 10, "zenlayer");
    lua_getuservalue(L, 2);
    lua_getfield(L, -1, "on_event");
    push_event(L, event, client->epoch_ms);
    lua_call(L, 1, 0);
    return 0;
}

void zlb_events_begin(lua_State *L, const zlb_options *given, zlb_client *client) {
    int type = zlb_option_push(L, given, "on_event");
    if (type != LUA_TNIL && type != LUA_TFUNCTION) {
        (void)zlb_option_error(L, "on_event", "a function");
    }
    client->core->events.wanted = type == LUA_TFUNCTION;
    lua_getuservalue(L, -2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "on_event");
    lua_pop(L, 1);
}

static const zlb_kept caller = {"call_on_event", call_on_event};

void zlb_events_keep(lua_State *L) {
    zlb_kept_add(L, &caller);
}

/* False, with what was raised on top of the stack, if the interpreter was interrupted. Raises
 * nothing, also where memory has run out: whoever calls has a reference to give back. */
static bool tell(lua_State *L, int client_index, zl_client *core) {
    zlb_client *client = lua_touserdata(L, client_index);
    bool interrupted = false;
    client->telling = true;
    client->epoch_ms = zl_clock_wall_ms() - zl_clock_mono_ms(); /* anew: clocks are put right */
    while (!interrupted && core->events.first != NULL) {
        zl_event *event = zl_events_take(&core->events);
        zlb_kept_push(L, &caller, event);
        lua_pushvalue(L, client_index);
        int rc = lua_pcall(L, 2, 0, 0);
        zl_event_free(event);
        interrupted = rc != 0 && zlb_is_interrupt(L, -1);
        if (rc != 0 && !interrupted) {
            zlb_warn(L, "error in on_event");
            lua_pop(L, 1);
        }
    }
    client->telling = false;
    return !interrupted;
}

void zlb_events_tell_last(lua_State *L, int client_index, zl_client *core) {
    const zlb_client *client = lua_touserdata(L, client_index);
    bool has_news = core->events.first != NULL && !client->telling;
    bool ok = !has_news || tell(L, client_index, core);
    zl_client_unref(core);
    if (!ok) {
        (void)lua_error(L);
    }
}

ZL_HOT void zlb_events_tell(lua_State *L, int client_index, zl_client *core) {
    if (core != NULL && core->events.first != NULL) {
        zl_client_ref(core); /* the function may close the client */
        zlb_events_tell_last(L, lua_absindex(L, client_index), core);
    }
}
