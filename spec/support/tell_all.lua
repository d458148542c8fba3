-- With ZENLAYER_TEST_TELL, the name of a file, every client of the module tells all that it has to
-- say: its events, what its methods return, what they raise with a traceback, and the text of every
-- object, all the way down. If a secret that a client was given is in it, there is a line in that
-- file that says where; a first line says that this process looked. `make secrets` runs every spec
-- like that; whether one passes does not matter then, because some count what is called.
--
-- Nobody keeps quiet but who is asked for a signed request: step, step_http and sign.
local expect = require "expect"

local tell_all = {}

local QUIET = { step = true, step_http = true, sign = true, versions = true }
local SECRET_MIN_BYTES = 8 -- "b" and the like are in everything

local secrets, has_looked = {}, false

local function write(line)
    local file = assert(io.open(os.getenv "ZENLAYER_TEST_TELL", "a"))
    file:write(line, "\n")
    file:close()
end

local function keep(secret)
    if type(secret) == "string" and #secret >= SECRET_MIN_BYTES then
        secrets[secret] = true
    end
end

local function keep_all(given)
    keep(given.access_key_password)
    keep(given.token)
    local user = type(given.proxy) == "string" and given.proxy:match "//([^/]*)@"
    keep(user and user:match ":(.*)")
end

local function look(where, value)
    local text = expect.texts(value)
    if not has_looked then
        has_looked = true
        write "looked"
    end
    for secret in pairs(secrets) do
        if text:find(secret, 1, true) then
            write("a secret in " .. where)
        end
    end
    if text:find "Signature=%x%x%x%x" then
        write("a signature in " .. where)
    end
end

local listening = {} -- metatables whose methods are listened to

local listen

local function note(where, ...)
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        look(where, value)
        listen(value)
    end
    return ...
end

local function loud(name, f)
    if QUIET[name] then
        return f
    end
    return function(...)
        local results = table.pack(xpcall(f, function(raised)
            look(name, { raised, debug.traceback(tostring(raised)) })
            return raised
        end, ...))
        if not results[1] then
            error(results[2], 0)
        end
        return note(name, table.unpack(results, 2, results.n))
    end
end

-- The methods of a client, a job, an operation.
function listen(value)
    local metatable = type(value) == "userdata" and getmetatable(value)
    local methods = type(metatable) == "table" and metatable.__index
    if type(methods) == "table" and not listening[methods] then
        listening[methods] = true
        for name, f in pairs(methods) do
            methods[name] = loud(name, f)
        end
    end
end

local function listening_options(options)
    if type(options) ~= "table" then
        return options
    end
    local all = {}
    for name, value in next, options do
        all[name] = value
    end
    keep_all(all)
    if type(all.credentials) == "function" then
        local given = all.credentials
        function all.credentials(...)
            local results = table.pack(given(...))
            if type(results[1]) == "table" then
                keep_all(results[1])
            end
            return table.unpack(results, 1, results.n)
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

local function listen_to_module(name)
    local module = require(name)
    local new = loud("new", module.new)
    for _, variable in ipairs {
        "ZENLAYER_ACCESS_KEY_SECRET", "ZENLAYER_ACCESS_KEY_PASSWORD", "ZENLAYER_TOKEN",
        "ZENLAYERCLOUD_SECRET_KEY_PASSWORD", "ZENLAYERCLOUD_ACCESS_KEY_PASSWORD",
    } do
        keep(os.getenv(variable))
    end
    function module.new(options)
        return new(listening_options(options))
    end
end

function tell_all.begin()
    listen_to_module "zenlayer"
    listen_to_module "zenlayer.safe"
end

return tell_all
