#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../api/json.h"
#include "errors.h"

#define REGISTRY_KEY "zenlayer.json"
#define EMPTY_ARRAY_TYPE "zenlayer.empty_array"

enum {
    DEPTH_MAX = 100, /* of what is written and of what is read */
    PLACE_MAX = 200  /* bytes of a path in an error */
};

/* --- the instance of lua-cjson ---------------------------------------------------------------- */

static int empty_array_tostring(lua_State *L) {
    lua_pushliteral(L, EMPTY_ARRAY_TYPE);
    return 1;
}

static void push_new_empty_array(lua_State *L) {
    (void)lua_newuserdata(L, 1);
    (void)zlb_newmetatable(L, EMPTY_ARRAY_TYPE);
    lua_pushcfunction(L, empty_array_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_setmetatable(L, -2);
}

/* Call a setting of the instance at the top of the stack. */
static void set_depth(lua_State *L) {
    lua_getfield(L, -1, "decode_max_depth");
    lua_pushinteger(L, DEPTH_MAX);
    lua_call(L, 1, 0);
}

static void forbid_invalid_numbers(lua_State *L) {
    lua_getfield(L, -1, "decode_invalid_numbers");
    lua_pushboolean(L, false);
    lua_call(L, 1, 0);
}

static void push_cjson(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "cjson");
    int rc = lua_pcall(L, 1, 1, 0);
    if (rc == LUA_ERRMEM) {
        (void)lua_error(L);
    } else if (rc != 0) {
        const char *why = lua_tostring(L, -1);
        (void)luaL_error(L, "zenlayer needs lua-cjson: %s", why != NULL ? why : "require failed");
    }
}

void zlb_json_open(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, REGISTRY_KEY);
    bool is_open = lua_istable(L, -1);
    lua_pop(L, 1);
    if (is_open) {
        return;
    }
    lua_createtable(L, 0, 4);
    push_cjson(L);
    lua_getfield(L, -1, "null");
    lua_setfield(L, -3, "null");
    lua_getfield(L, -1, "_VERSION");
    lua_setfield(L, -3, "version");
    /* The settings of the shared instance are anybody's to change. */
    lua_getfield(L, -1, "new");
    lua_call(L, 0, 1);
    set_depth(L);
    forbid_invalid_numbers(L);
    lua_getfield(L, -1, "decode");
    lua_setfield(L, -4, "decode");
    lua_pop(L, 2);
    push_new_empty_array(L);
    lua_setfield(L, -2, "empty_array");
    lua_setfield(L, LUA_REGISTRYINDEX, REGISTRY_KEY);
}

static void push_member(lua_State *L, const char *name) {
    lua_getfield(L, LUA_REGISTRYINDEX, REGISTRY_KEY);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

void zlb_json_push_null(lua_State *L) {
    push_member(L, "null");
}

void zlb_json_push_empty_array(lua_State *L) {
    push_member(L, "empty_array");
}

void zlb_json_push_version(lua_State *L) {
    push_member(L, "version");
}

/* lua-cjson's null is a NULL light userdata. */
static bool is_null(lua_State *L, int index) {
    return lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Where a value stands; the frames of the recursion are the path. */
typedef struct place {
    const struct place *parent; /* NULL: the root */
    const void *table;          /* that the value is in, to find cycles */
    const char *key;            /* NULL: an array's item */
    size_t index;
    int depth;
} place;

typedef struct writer {
    lua_State *L;
    zl_buf *out;
    const char *root_name;
} writer;

static void append(char *text, const char *more) {
    size_t len = strlen(text);
    size_t room = PLACE_MAX - 1 - len;
    size_t count = strlen(more);
    count = count < room ? count : room;
    memcpy(text + len, more, count);
    text[len + count] = '\0';
}

static void describe_place(const writer *w, const place *at, char text[PLACE_MAX]) {
    if (at == NULL) {
        append(text, w->root_name);
        return;
    }
    describe_place(w, at->parent, text);
    if (at->key != NULL) {
        append(text, ".");
        append(text, at->key);
    } else {
        char index[32];
        (void)snprintf(index, sizeof index, "[%zu]", at->index);
        append(text, index);
    }
}

static void refuse(const writer *w, const place *at, const char *what) {
    char where[PLACE_MAX] = "";
    describe_place(w, at, where);
    (void)zlb_raise(w->L, ZL_CODE_INVALID_ARGUMENT, where, "%s", what);
}

static void write_value(writer *w, const place *at);

static void write_string(writer *w, const place *at, zl_view text) {
    if (!zl_utf8_valid(text)) {
        refuse(w, at, "not valid UTF-8");
    }
    zl_json_add_string(w->out, text);
}

static void write_number(writer *w, const place *at) {
    if (zlb_isinteger(w->L, -1)) {
        zl_buf_add_int(w->out, (int64_t)lua_tointeger(w->L, -1));
    } else if (!zl_json_add_double(w->out, lua_tonumber(w->L, -1))) {
        refuse(w, at, "NaN and the infinities have no JSON");
    }
}

/* What a table is, by its keys. */
typedef struct shape {
    size_t names;
    size_t items;
    size_t last; /* the greatest index */
} shape;

static shape shape_of(writer *w, const place *at) {
    lua_State *L = w->L;
    shape s = {0, 0, 0};
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            s.names++;
            continue;
        }
        double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (!(key >= 1 && key <= 9007199254740992.0 && floor(key) == key)) {
            refuse(w, at, "has a key that is neither a string nor an index from 1");
        }
        s.items++;
        s.last = (size_t)key > s.last ? (size_t)key : s.last;
    }
    if (s.names > 0 && s.items > 0) {
        refuse(w, at, "has both names and indices for keys");
    }
    if (s.last != s.items) {
        refuse(w, at, "is an array with holes");
    }
    return s;
}

static int compare_names(const void *a, const void *b) {
    const zl_view *x = a, *y = b;
    size_t common = x->len < y->len ? x->len : y->len;
    int order = common > 0 ? memcmp(x->data, y->data, common) : 0;
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* The table on top, all of whose keys are strings, by the order of its keys' bytes. */
static void write_object(writer *w, const place *at, size_t count) {
    lua_State *L = w->L;
    zl_view *names = lua_newuserdata(L, (count > 0 ? count : 1) * sizeof *names);
    int table = lua_gettop(L) - 1, kept = table + 2;
    size_t i = 0;
    lua_createtable(L, (int)count, 0);
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        lua_pop(L, 1);
        if (i == count || lua_type(L, -1) != LUA_TSTRING) {
            refuse(w, at, "was changed while it was written");
        }
        names[i].data = lua_tolstring(L, -1, &names[i].len);
        lua_pushvalue(L, -1);
        lua_rawseti(L, kept, (int)++i); /* a finaliser may take it out of the table */
    }
    count = i;
    qsort(names, count, sizeof *names, compare_names);
    zl_buf_add_char(w->out, '{');
    for (i = 0; i < count; i++) {
        place here = {at, lua_topointer(L, table), names[i].data, 0,
                      at == NULL ? 1 : at->depth + 1};
        if (i > 0) {
            zl_buf_add_char(w->out, ',');
        }
        write_string(w, &here, names[i]);
        zl_buf_add_char(w->out, ':');
        zlb_push_view(L, names[i]);
        lua_rawget(L, table);
        write_value(w, &here);
        lua_pop(L, 1);
    }
    zl_buf_add_char(w->out, '}');
    lua_pop(L, 2);
}

static void write_array(writer *w, const place *at, size_t count) {
    lua_State *L = w->L;
    const void *table = lua_topointer(L, -1);
    zl_buf_add_char(w->out, '[');
    for (size_t i = 1; i <= count; i++) {
        place here = {at, table, NULL, i, at == NULL ? 1 : at->depth + 1};
        if (i > 1) {
            zl_buf_add_char(w->out, ',');
        }
        lua_rawgeti(L, -1, (int)i);
        write_value(w, &here);
        lua_pop(L, 1);
    }
    zl_buf_add_char(w->out, ']');
}

static void write_table(writer *w, const place *at) {
    const void *table = lua_topointer(w->L, -1);
    for (const place *p = at; p != NULL; p = p->parent) {
        if (p->table == table) {
            refuse(w, at, "is a table that contains itself");
        }
    }
    if (at != NULL && at->depth >= DEPTH_MAX) {
        refuse(w, at, "is nested too deep (100 tables)");
    }
    luaL_checkstack(w->L, 8, "JSON");
    shape s = shape_of(w, at);
    if (at == NULL && s.items > 0) {
        refuse(w, at, "expected an object, got an array");
    }
    if (s.items > 0) {
        write_array(w, at, s.items);
    } else {
        write_object(w, at, s.names);
    }
}

static void write_userdata(writer *w, const place *at) {
    zlb_json_push_empty_array(w->L);
    bool is_empty_array = lua_rawequal(w->L, -1, -2) != 0;
    lua_pop(w->L, 1);
    if (is_empty_array) {
        zl_buf_add_text(w->out, "[]");
    } else if (is_null(w->L, -1)) {
        zl_buf_add_text(w->out, "null");
    } else {
        refuse(w, at, "a userdata has no JSON");
    }
}

/* The value on top, which stays there. */
static void write_value(writer *w, const place *at) {
    lua_State *L = w->L;
    size_t len;
    const char *text;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &len);
        write_string(w, at, (zl_view){text, len});
        break;
    case LUA_TNUMBER: write_number(w, at); break;
    case LUA_TBOOLEAN: zl_buf_add_text(w->out, lua_toboolean(L, -1) ? "true" : "false"); break;
    case LUA_TTABLE: write_table(w, at); break;
    case LUA_TLIGHTUSERDATA:
    case LUA_TUSERDATA: write_userdata(w, at); break;
    default: {
        char what[64];
        (void)snprintf(what, sizeof what, "a %s has no JSON", luaL_typename(L, -1));
        refuse(w, at, what);
    }
    }
}

void zlb_json_encode(lua_State *L, int index, const char *name, zl_buf *out) {
    writer w = {L, out, name};
    lua_pushvalue(L, index);
    write_value(&w, NULL);
    lua_pop(L, 1);
    if (!zl_buf_ok(out)) {
        (void)zlb_raise_memory(L);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

#define INTEGER_MAX_DOUBLE 9007199254740992.0 /* 2^53: up to here doubles are exact */

/* lua-cjson reads 100 as 100.0 where Lua has integers; its forks read some numbers as integers that
 * a double does not hold. Make all of them say the same. The number is on top; true if it was
 * replaced. */
static bool normalise_number(lua_State *L) {
    double value = lua_tonumber(L, -1);
    bool fits = fabs(value) <= INTEGER_MAX_DOUBLE && floor(value) == value;
    if (fits == zlb_isinteger(L, -1)) {
        return false;
    }
    lua_pop(L, 1);
    if (fits) {
        lua_pushinteger(L, (lua_Integer)value);
    } else {
        lua_pushnumber(L, (lua_Number)value);
    }
    return true;
}

/* The table on top: numbers as above; null in an object is no member at all. Its depth is bounded
 * by the decoder. */
static void normalise(lua_State *L) {
    int table = lua_gettop(L);
    luaL_checkstack(L, 6, "JSON");
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        bool replaced = false;
        if (lua_type(L, -1) == LUA_TTABLE) {
            normalise(L);
        } else if (lua_type(L, -1) == LUA_TNUMBER) {
            replaced = normalise_number(L);
        } else if (is_null(L, -1) && lua_type(L, -2) == LUA_TSTRING) {
            lua_pop(L, 1);
            lua_pushnil(L);
            replaced = true;
        }
        if (replaced) { /* assigning to a key that is there is allowed within lua_next */
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, table);
        } else {
            lua_pop(L, 1);
        }
    }
}

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* lua-cjson's complaints about a text begin like this. Any other error is none of the text's:
 * memory, or the interpreter's "interrupted!", and goes on. */
static bool is_decode_error(lua_State *L, int index) {
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
    return starts_with(text, "Expected ") || starts_with(text, "Found too many nested");
}

static bool is_json_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool looks_like_object(zl_view body) {
    size_t i = 0;
    while (i < body.len && is_json_space(body.data[i])) {
        i++;
    }
    return i < body.len && body.data[i] == '{';
}

/* The place of the first byte from `at` on that is in no string; none has begun there. */
static size_t skip_strings(zl_view text, size_t at) {
    while (at < text.len && text.data[at] == '"') {
        for (at++; at < text.len && text.data[at] != '"'; at++) {
            at += text.data[at] == '\\' ? 1 : 0;
        }
        at++;
    }
    return at;
}

static bool begins_number(char c) {
    return (c >= '0' && c <= '9') || c == '-';
}

/* Whether there is a number or a null in the text: else nothing of it differs from one lua-cjson to
 * another. The answer to StopInstances mostly has none. */
static bool has_numbers_or_nulls(zl_view text) {
    size_t i = skip_strings(text, 0);
    while (i < text.len && !begins_number(text.data[i]) && text.data[i] != 'n') {
        i = skip_strings(text, i + 1);
    }
    return i < text.len;
}

/* OpenResty's fork of lua-cjson reads a number without fraction and exponent by strtoll, which
 * makes of 18446744073709551615 what it holds at most. With an exponent it is read as any other. */
enum { INT64_SAFE_DIGITS = 18 };

static bool is_in_number(char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* Where the next number ends, from `at` on, that may be more than 64 bits; 0: there is none. */
static size_t find_long_number(zl_view text, size_t at) {
    for (size_t i = skip_strings(text, at); i < text.len; i = skip_strings(text, i)) {
        if (!begins_number(text.data[i])) {
            i++;
            continue;
        }
        size_t from = i;
        bool is_whole = true;
        for (; i < text.len && is_in_number(text.data[i]); i++) {
            char part = text.data[i];
            is_whole = is_whole && part != '.' && part != 'e' && part != 'E';
        }
        if (is_whole && i - from > INT64_SAFE_DIGITS) {
            return i;
        }
    }
    return 0;
}

/* The text on top gets an exponent of 0 on each of those. */
static void mark_long_numbers(lua_State *L) {
    zl_view text;
    text.data = lua_tolstring(L, -1, &text.len);
    size_t end = find_long_number(text, 0);
    if (end == 0) {
        return;
    }
    luaL_Buffer marked;
    size_t done = 0;
    luaL_buffinit(L, &marked);
    for (; end != 0; end = find_long_number(text, done)) {
        luaL_addlstring(&marked, text.data + done, end - done);
        luaL_addlstring(&marked, "e0", 2);
        done = end;
    }
    luaL_addlstring(&marked, text.data + done, text.len - done);
    luaL_pushresult(&marked);
    lua_remove(L, -2);
}

/* Push the decoded object, or nil. */
static void decode_object(lua_State *L, zl_view body) {
    /* lua-cjson takes a NUL for the end of the text, whatever comes after it. */
    if (!looks_like_object(body) || memchr(body.data, '\0', body.len) != NULL) {
        lua_pushnil(L);
        return;
    }
    bool may_differ = has_numbers_or_nulls(body);
    zlb_push_view(L, body);
    if (may_differ) {
        mark_long_numbers(L);
    }
    push_member(L, "decode");
    lua_insert(L, -2);
    int rc = lua_pcall(L, 1, 1, 0);
    if (rc != 0) {
        if (rc != LUA_ERRRUN || !is_decode_error(L, -1)) {
            (void)lua_error(L);
        }
        lua_pop(L, 1);
        lua_pushnil(L);
    } else if (may_differ) {
        normalise(L);
    }
}

/* A string member of the table at `index`; empty if it is not there or no string. The table holds
 * it. */
static zl_view string_member(lua_State *L, int index, const char *name) {
    zl_view value = {NULL, 0};
    if (zlb_push_raw(L, index, name) == LUA_TSTRING) {
        value.data = lua_tolstring(L, -1, &value.len);
    }
    lua_pop(L, 1);
    return value;
}

static bool is_array(lua_State *L, int index) {
    lua_rawgeti(L, index, 1);
    bool has_item = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return has_item;
}

/* Whether the table has no keys but 1 to its length: lua-cjson gives an object and a list the same
 * type. */
static bool is_list(lua_State *L, int index) {
    size_t count = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        count++;
    }
    return count == lua_rawlen(L, index);
}

/* response.instanceIds, at `index`: the ids that failed. The views go into a userdata, which is
 * left on the stack in any case. False if it is anything but a list of non-empty strings. */
static bool read_failed_ids(lua_State *L, int response, zl_answer *answer) {
    bool ok = true;
    int type = zlb_push_raw(L, response, "instanceIds");
    if (type != LUA_TTABLE) {
        return type == LUA_TNIL;
    }
    int list = lua_gettop(L);
    size_t count = (size_t)lua_rawlen(L, list);
    ok = is_list(L, list);
    zl_view *ids = lua_newuserdata(L, (count > 0 ? count : 1) * sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, list, (int)i + 1);
        ids[i] = (zl_view){NULL, 0};
        if (lua_type(L, -1) == LUA_TSTRING) {
            ids[i].data = lua_tolstring(L, -1, &ids[i].len);
        }
        ok = ok && ids[i].len > 0 && zl_utf8_valid(ids[i]) &&
             memchr(ids[i].data, '\0', ids[i].len) == NULL;
        lua_pop(L, 1);
    }
    lua_remove(L, list);
    answer->failed_ids = ids;
    answer->failed_count = ok ? count : 0;
    return ok;
}

/* totalCount and dataSet of a page; the latter is left on the stack in any case. False unless there
 * are a number and a list. */
static bool read_page(lua_State *L, int response, zl_answer *answer) {
    double total =
        zlb_push_raw(L, response, "totalCount") == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    bool ok = total >= 0 && total <= INTEGER_MAX_DOUBLE;
    answer->total_count = ok ? (int64_t)total : -1;
    lua_pop(L, 1);
    int type = zlb_push_raw(L, response, "dataSet");
    if (type == LUA_TNIL && total == 0) { /* some write an empty list as null */
        return true;
    }
    ok = ok && type == LUA_TTABLE && is_list(L, lua_gettop(L));
    answer->item_count = ok ? (size_t)lua_rawlen(L, -1) : 0;
    return ok;
}

/* The same of a page of statuses. The rows go into a userdata, which is left on the stack in place
 * of dataSet. False unless every row has an id and a status. */
static bool read_status_page(lua_State *L, int response, zl_answer *answer) {
    bool ok = read_page(L, response, answer);
    int rows = lua_gettop(L);
    size_t count = answer->item_count;
    zl_status *statuses = lua_newuserdata(L, (count > 0 ? count : 1) * sizeof *statuses);
    for (size_t i = 0; i < count && ok; i++) {
        lua_rawgeti(L, rows, (int)i + 1);
        ok = lua_istable(L, -1);
        if (ok) {
            statuses[i].id = string_member(L, rows + 2, "instanceId");
            statuses[i].status = string_member(L, rows + 2, "instanceStatus");
            ok = statuses[i].id.len > 0 && statuses[i].status.len > 0;
        }
        lua_pop(L, 1);
    }
    lua_remove(L, rows);
    answer->statuses = statuses;
    answer->item_count = ok ? count : 0;
    return ok;
}

/* Everything the core wants to know of the decoded answer at `table`. One value is left on the
 * stack. */
static void read_facts(lua_State *L, int table, zl_aim aim, zl_answer *answer) {
    int type = zlb_push_raw(L, table, "response");
    bool ok = type == LUA_TNIL || (type == LUA_TTABLE && !is_array(L, -1));
    if (type != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_pushvalue(L, table);
    }
    int response = lua_gettop(L);
    answer->request_id = string_member(L, response, "requestId");
    if (answer->request_id.len == 0) {
        answer->request_id = string_member(L, table, "requestId");
    }
    answer->code = string_member(L, table, "code");
    answer->message = string_member(L, table, "message");
    answer->has_code = answer->code.len > 0;
    ok = ok && answer->request_id.len > 0 && zlb_push_raw(L, table, "code") == LUA_TNIL;
    lua_settop(L, response);
    if (ok && aim == ZL_AIM_STOP) {
        ok = read_failed_ids(L, response, answer);
    } else if (ok && (aim == ZL_AIM_STATUS || aim == ZL_AIM_STATUS_PAGES)) {
        ok = read_status_page(L, response, answer) &&
             (aim == ZL_AIM_STATUS_PAGES ||
              (double)answer->item_count >= (double)answer->total_count);
    } else if (ok && aim == ZL_AIM_PAGE && !read_page(L, response, answer)) {
        answer->misfit = "no page of a list, which has a list dataSet and a number totalCount";
        ok = false;
    }
    answer->is_well_formed = ok;
    lua_settop(L, response + 1); /* the failed ids' views, or nil */
    lua_remove(L, response);
}

void zlb_json_decode_answer(lua_State *L, zl_view body, zl_aim aim, zl_answer *answer) {
    answer->body_len = body.len;
    decode_object(L, body);
    answer->is_object = lua_istable(L, -1);
    if (answer->is_object) {
        read_facts(L, lua_gettop(L), aim, answer);
    } else {
        lua_pushnil(L);
    }
}

void zlb_json_push_response(lua_State *L, int index) {
    if (zlb_push_raw(L, index, "response") != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_pushvalue(L, index);
    }
}
