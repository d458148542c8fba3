-- With ZENLAYER_TEST_TELL, the name of a file, every client of the module tells all that it has to
-- say: its events, what its methods return, what they raise with a traceback, and the text of every
-- object, all the way down. Where a secret that a client was given is in it, or in the log of a
-- server that is removed, there is a line in that file that says so: "a token in call, spec/…:17".
-- Others are "looked", by each process that did, and "known", with a secret, for spec/run, which
-- searches what is printed. `make secrets` runs every spec like that; whether one passes does not
-- matter then, because some count what is called.
--
-- Nobody keeps quiet but who is asked for a signed request, or what a driver has to know: step,
-- step_http, sign and settings.
local texts = require "texts"

local pack = table.pack or function(...) -- nginx has no every_lua
    return { n = select("#", ...), ... }
end
local unpack = table.unpack or rawget(_G, "unpack")

local tell_all = {}

local QUIET = { step = true, step_http = true, sign = true, settings = true, versions = true }
local VARIABLES = {
    ZENLAYER_ACCESS_KEY_SECRET = "a key's password", ZENLAYER_ACCESS_KEY_PASSWORD = "a password",
    ZENLAYERCLOUD_SECRET_KEY_PASSWORD = "a key's password",
    ZENLAYERCLOUD_ACCESS_KEY_PASSWORD = "a key's password", ZENLAYER_TOKEN = "a token",
}
local LOGS = { "access.log", "error.log", "journal", "log", "messages" }
local IN_NGINX, IN_NGINX_END = "tell_all: ", " :tell_all" -- around what is said in nginx's log

-- "b" and the like are in everything, and so is what is long, but a single letter.
local LEAST_BYTES, LEAST_LETTERS = 8, 6

local secrets, has_looked = {}, false

local function write(line)
    if tell_all.log then
        return tell_all.log(IN_NGINX .. line .. IN_NGINX_END)
    end
    local file = assert(io.open(os.getenv "ZENLAYER_TEST_TELL", "a"))
    file:write(line, "\n")
    file:close()
end

local function is_secret(text)
    local seen, count = {}, 0
    for letter in text:gmatch "." do
        count = seen[letter] and count or count + 1
        seen[letter] = true
    end
    return #text >= LEAST_BYTES and count >= LEAST_LETTERS
end

local function to_hex(text)
    return (text:gsub(".", function(letter)
        return ("%02x"):format(letter:byte())
    end))
end

local function keep(secret, kind)
    if type(secret) == "string" and not secrets[secret] and is_secret(secret) then
        secrets[secret] = kind
        write(("known %s %s"):format(to_hex(secret), kind))
    end
end

local function keep_proxy(url)
    local user = type(url) == "string" and url:match "//([^/]*)@"
    keep(user and user:match ":(.*)", "a proxy's password")
end

local function keep_all(given)
    keep(given.access_key_password, "a key's password")
    keep(given.token, "a token")
    keep_proxy(given.proxy)
end

-- The line of a spec, or the script, that brought us here.
local function place()
    return debug.traceback():match "(spec/%d[^\n]-:%d+)" or arg and arg[0] or "nginx"
end

local function search(text, where)
    local found = {}
    for secret, kind in pairs(secrets) do
        if text:find(secret, 1, true) then
            found[kind] = true
        end
    end
    if text:find "Signature=%x%x%x%x" then
        found["a signature"] = true
    end
    for kind in pairs(found) do
        write(("%s in %s, %s"):format(kind, where, place()))
    end
end

local function look(where, value)
    if not has_looked then
        has_looked = true
        write "looked"
    end
    search(texts(value), where)
end

local listening = {} -- metatables whose methods are listened to

local listen

local function note(where, ...)
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        look(where, value)
        listen(value, where == "new")
    end
    return ...
end

local function loud(name, f)
    if QUIET[name] then
        return f
    end
    return function(...)
        local results = pack(xpcall(f, function(raised)
            look(name, { raised, debug.traceback(tostring(raised)) })
            return raised
        end, ...))
        if not results[1] then
            error(results[2], 0)
        end
        return note(name, unpack(results, 2, results.n))
    end
end

-- The methods of a client, a job, an operation.
function listen(value, is_client)
    local metatable = (type(value) == "userdata" or is_client) and debug.getmetatable(value)
    local methods = type(metatable) == "table" and metatable.__index
    if type(methods) == "table" and not listening[methods] then
        listening[methods] = true
        for name, f in pairs(methods) do
            if type(f) == "function" and not name:find "^__" then
                methods[name] = loud(name, f)
            end
        end
    end
end

local function listening_options(options)
    if options ~= nil and type(options) ~= "table" then
        return options
    end
    local all = {}
    for name, value in next, options or {} do
        all[name] = value
    end
    keep_all(all)
    if type(all.credentials) == "function" then
        local given = all.credentials
        function all.credentials(...)
            local results = pack(given(...))
            if type(results[1]) == "table" then
                keep_all(results[1])
            end
            return unpack(results, 1, results.n)
        end
    end
    local on_event = all.on_event
    if on_event == nil or type(on_event) == "function" then
        function all.on_event(event)
            look("an event", event)
            if on_event then
                on_event(event)
            end
        end
    end
    return all
end

local function keep_environment()
    for variable, kind in pairs(VARIABLES) do
        keep(os.getenv(variable), kind)
    end
    for _, variable in ipairs { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" } do
        keep_proxy(os.getenv(variable))
    end
end

local function listen_to_module(name)
    local module = require(name)
    local new = loud("new", module.new)
    function module.new(options)
        return new(listening_options(options))
    end
end

-- --- logs --------------------------------------------------------------------------------------

-- What the processes of this run know.
local function keep_known()
    local file = io.open(os.getenv "ZENLAYER_TEST_TELL", "rb")
    for hex, kind in (file and file:read "*a" or ""):gmatch "known (%x+) ([^\n]+)\n" do
        local secret = hex:gsub("%x%x", function(digits)
            return string.char(tonumber(digits, 16))
        end)
        secrets[secret] = secrets[secret] or kind
    end
    if file then
        file:close()
    end
end

-- In the folder of a server. What a process in nginx said is said once more.
local function look_at_logs(directory)
    keep_known()
    for _, name in ipairs(LOGS) do
        local file = io.open(directory .. "/" .. name, "rb")
        local text = file and file:read "*a" or ""
        if file then
            file:close()
        end
        for line in text:gmatch(IN_NGINX .. "([^\n]-)" .. IN_NGINX_END) do
            write(line)
        end
        text = text:gsub("^Zenlayer sandbox .-_SECRET=[^\n]*", "") -- it tells its keys
        search(text, "the " .. name .. " of a server")
    end
end

-- --- where it begins ---------------------------------------------------------------------------

function tell_all.begin()
    local process = require "process"
    local remove = process.remove
    function process.remove(directory)
        look_at_logs(directory)
        return remove(directory)
    end
    keep("sandbox-password", "a key's password")
    keep("sandbox-token", "a token")
    keep_environment()
    listen_to_module "zenlayer"
    listen_to_module "zenlayer.safe"
end

-- In nginx, before any of its own code: what is to be told goes by `log`.
function tell_all.begin_in_nginx(log)
    tell_all.log = log
    keep_environment()
    listen_to_module "resty.zenlayer"
end

return tell_all
