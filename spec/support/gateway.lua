-- An nginx with Lua for a spec: a gateway, made of the pieces that are given.
--
--   local front = gateway.start {
--       workers = 2,                          -- 1
--       env = { NAME = "value" },             -- set, and let through by an `env` line
--       ca_file = box.ca_file,                -- lua_ssl_trusted_certificate
--       resolver = names.address,             -- of dns.lua; more of the directive may follow it
--       modules = { ["my.module"] = "return …" },
--       files = { ["a.pem"] = "…" },          -- in its directory
--       init = "…", init_worker = "…",        -- Lua
--       locations = {
--           ["= /stop"] = "ngx.say(1)",       -- content_by_lua_block
--           ["/other"] = { access = "…", content = "…", "more directives;" },
--       },
--       main = "…", http = "…", server = "…", -- directives
--   }
--   front:get "/stop"  front:post("/stop", body, headers)  front:begin { … }  -- see http.lua
--   front:reload()  front:workers()  front:log()
--   front:stop { "a pattern of an error that is expected", … }
--
-- `conf`, a whole nginx.conf with @PORT@ for its port, takes the place of the directives; say how
-- many workers it has.
-- The module is lib/ and the one built for LuaJIT, beside that of the interpreter that runs this.
local http = require "http"
local lfs = require "lfs"
local process = require "process"
local server = require "server"

local gateway = {}
gateway.__index = gateway

local CONFIGURATION = [[
$MODULES
worker_processes $WORKERS;
pid $DIR/nginx.pid;
error_log $DIR/error.log info;
$MAIN
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $DIR/body;
    proxy_temp_path $DIR/proxy;
    fastcgi_temp_path $DIR/fastcgi;
    uwsgi_temp_path $DIR/uwsgi;
    scgi_temp_path $DIR/scgi;
    default_type application/json;
    lua_package_path "$DIR/lua/?.lua;;";
    $HTTP
    server {
        listen 127.0.0.1:@PORT@;
        $SERVER
    }
}
]]

-- Where everything is to be told (tell_all.lua), also in nginx.
local TELLS = os.getenv "ZENLAYER_TEST_TELL" ~= nil
local TELL = 'require("tell_all").begin_in_nginx(function(line) ngx.log(ngx.INFO, line) end)\n'

local PHASES = { "rewrite", "access", "content", "header_filter", "body_filter", "log" }

-- What loads the Lua module; nothing where it is part of nginx.
function gateway.load_modules()
    local lines = {}
    for _, folder in ipairs { "/usr/lib/nginx/modules", "/usr/lib64/nginx/modules" } do
        for _, name in ipairs { "ndk_http_module.so", "ngx_http_lua_module.so" } do
            if #lines < 2 and lfs.attributes(folder .. "/" .. name) then
                lines[#lines + 1] = ("load_module %s/%s;"):format(folder, name)
            end
        end
    end
    return table.concat(lines, "\n")
end

-- The build folder.
function gateway.build()
    local here = assert(package.searchpath("zenlayer", package.cpath))
    return assert(here:match "^(.+)/[^/]+/zenlayer%.so$", here)
end

-- The environment that makes `require` find the module: what ;; in lua_package_path stands for.
function gateway.paths()
    return {
        LUA_PATH = lfs.currentdir() .. "/lib/?.lua;;",
        LUA_CPATH = gateway.build() .. "/luajit/?.so;;",
    }
end

local function block(phase, text)
    return ("%s_by_lua_block {\n%s\n}"):format(phase, text)
end

local function location(name, given)
    local lines = { ("location %s {"):format(name) }
    if type(given) == "string" then
        given = { content = given }
    end
    for _, phase in ipairs(PHASES) do
        if given[phase] then
            lines[#lines + 1] = block(phase, given[phase])
        end
    end
    lines[#lines + 1] = given[1]
    lines[#lines + 1] = "}"
    return table.concat(lines, "\n")
end

local function configuration(directory, pieces)
    local main, outer, inner = {}, {}, {}
    for name in pairs(pieces.env or {}) do
        main[#main + 1] = ("env %s;"):format(name)
    end
    main[#main + 1] = pieces.main
    if pieces.ca_file then
        outer[#outer + 1] = ("lua_ssl_trusted_certificate %s;"):format(pieces.ca_file)
    end
    if pieces.resolver then
        outer[#outer + 1] = ("resolver %s;"):format(pieces.resolver)
    end
    local init = (TELLS and TELL or "") .. (pieces.init or "")
    outer[#outer + 1] = init ~= "" and block("init", init) or nil
    outer[#outer + 1] = pieces.init_worker and block("init_worker", pieces.init_worker)
    outer[#outer + 1] = pieces.http
    inner[#inner + 1] = pieces.server
    for name, given in pairs(pieces.locations or {}) do
        inner[#inner + 1] = location(name, given)
    end
    return (CONFIGURATION:gsub("%$(%u[%u_]*)", {
        DIR = directory, WORKERS = pieces.workers or 1, MODULES = gateway.load_modules(),
        MAIN = table.concat(main, "\n"), HTTP = table.concat(outer, "\n"),
        SERVER = table.concat(inner, "\n"),
    }))
end

local function write_files(directory, pieces)
    local files = { ["nginx.conf"] = pieces.conf or configuration(directory, pieces) }
    for _, name in ipairs(TELLS and { "tell_all", "texts" } or {}) do
        files["lua/" .. name .. ".lua"] = process.read("spec/support/" .. name .. ".lua")
    end
    for name, text in pairs(pieces.modules or {}) do
        files["lua/" .. name:gsub("%.", "/") .. ".lua"] = text
    end
    for name, text in pairs(pieces.files or {}) do
        files[name] = text
    end
    for name, text in pairs(files) do
        local path = directory .. "/" .. name
        process.check { "mkdir", "-p", (path:match "^(.*)/") }
        process.write(path, text)
    end
end

function gateway.start(pieces)
    local words = { "env" }
    for _, environment in ipairs { gateway.paths(), pieces.env or {} } do
        for name, value in pairs(environment) do
            words[#words + 1] = name .. "=" .. value
        end
    end
    table.move({ "python3", "-B", "spec/support/server.py", "nginx" }, 1, 4, #words + 1, words)
    local started = server.run(words, nil, function(directory)
        write_files(directory, pieces)
    end)
    local self = setmetatable({
        server = started, directory = started.directory, port = started.port, pid = started.pid,
        count = pieces.workers or 1, from = 0,
    }, gateway)
    -- The port answers before nginx has read its configuration: the process id is written after.
    local ok, why = pcall(process.await, function()
        return lfs.attributes(self.directory .. "/nginx.pid") or not started:alive()
    end, "nginx")
    if ok and started:alive() then
        ok, why = pcall(self.await_workers, self)
    end
    if not ok or not started:alive() then
        local said = self:log() .. process.read(self.directory .. "/messages")
        started:stop()
        error("nginx did not start: " .. (ok and "" or tostring(why) .. "\n") .. said, 2)
    end
    return self
end

-- Wait until there are as many workers as there should be, and none of these; return the others.
function gateway:await_workers(without)
    local left = {}
    for _, pid in ipairs(without or {}) do
        left[pid] = true
    end
    return process.await(function()
        local workers = self:workers()
        for _, pid in ipairs(workers) do
            if left[pid] then
                return nil
            end
        end
        return #workers == self.count and workers
    end, "nginx's workers")
end

-- The process ids of the workers, without those that only finish what they have, unless all are
-- asked for.
function gateway:workers(all)
    return self.server:children(all)
end

-- Read the configuration again; other workers take over. Their process ids.
function gateway:reload()
    local before = self:workers()
    assert(process.signal(self.pid, "HUP"))
    return self:await_workers(before)
end

function gateway:begin(request)
    return http.begin(self.port, request)
end

function gateway:get(path, headers)
    return http.get(self.port, path, headers)
end

function gateway:post(path, body, headers)
    return http.post(self.port, path, body, headers)
end

-- Log lines that were written before are not told of any more.
function gateway:mark()
    self.from = lfs.attributes(self.directory .. "/error.log", "size") or 0
end

function gateway:log()
    local path = self.directory .. "/error.log"
    return lfs.attributes(path) and process.read(path):sub(self.from + 1) or ""
end

-- Complain about each line of the log, since the mark, that tells of an error, if none of these
-- patterns fits it; and about each pattern that fits none.
local function check_log(text, expected)
    local seen, unexpected = {}, {}
    for line in text:gmatch "[^\n]+" do
        local level = line:match "^%S+ %S+ %[(%l+)%]"
        if level == "error" or level == "crit" or level == "alert" or level == "emerg" then
            local known = false
            for _, pattern in ipairs(expected or {}) do
                if line:find(pattern) then
                    known, seen[pattern] = true, true
                end
            end
            unexpected[#unexpected + 1] = not known and line or nil
        end
    end
    assert(#unexpected == 0, "in nginx's log:\n" .. table.concat(unexpected, "\n"))
    for _, pattern in ipairs(expected or {}) do
        assert(seen[pattern], "not in nginx's log: " .. pattern .. "\n" .. text)
    end
end

function gateway:check_log(expected)
    check_log(self:log(), expected)
end

-- End it, and then check all that it logged since the mark, its last words too.
function gateway:stop(expected)
    if self.server then
        process.stop(self.server.process)
        local text = self:log()
        self.server:stop()
        self.server = nil
        check_log(text, expected)
    end
end

return gateway
