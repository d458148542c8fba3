-- Options of new and of the methods: an unknown or ill-typed one is refused, and named.
local errors = require "binding_errors"
local zenlayer = require "zenlayer"

local NAN = 0 / 0

-- Bad values of each type of option. { value, text of the message or nil }
local function wrong_types(list, expected)
    local bad = {}
    for _, value in ipairs(list) do
        bad[#bad + 1] = { value, ("expected %s, got %s"):format(expected, type(value)) }
    end
    return bad
end

local function with(list, more)
    return table.move(more, 1, #more, #list + 1, list)
end

local function strings()
    return with(wrong_types({ 1, 0.5, true, false, {}, print }, "a non-empty string"),
        { { "" }, { "a\0b" }, { "\0" } })
end

local function headers()
    return with(strings(), { { "a\rb" }, { "a\nb" }, { "a\r\nX-Evil: 1" }, { "\n" }, { "a\n" } })
end

-- Names that become a header or a part of the URL's path.
local function words()
    return with(headers(), { { "a b" }, { "a/b" }, { "é" }, { "a?b" }, { "a#b" }, { "%2e" },
        { ":" } })
end

local function seconds()
    return with(wrong_types({ "5", true, {}, print }, "a number of seconds"),
        { { 0 }, { 0.0 }, { -1 }, { -0.5 }, { NAN }, { math.huge }, { -math.huge }, { 1e300 },
          { math.maxinteger }, { math.mininteger } })
end

local function counts()
    return with(wrong_types({ "5", true, {}, print }, "an integer"),
        { { 0 }, { -1 }, { 0.5 }, { 1.5 }, { NAN }, { math.huge }, { -math.huge }, { 1e300 },
          { 2^53 }, { math.maxinteger }, { math.mininteger } })
end

local function booleans()
    return wrong_types({ 0, 1, "true", "", {}, print }, "a boolean")
end

local OF_NEW = {
    access_key_id = headers(),
    access_key_password = strings(),
    token = headers(),
    profile = strings(),
    endpoint = strings(),
    connect_to = strings(),
    service = words(),
    api_version = words(),
    connect_timeout = seconds(),
    timeout = seconds(),
    deadline = seconds(),
    max_attempts = counts(),
    max_concurrency = counts(),
    max_response_bytes = counts(),
    ca_file = strings(),
    ca_path = strings(),
    proxy = with(wrong_types({ 1, true, {}, print }, "a URL or false"),
        { { "" }, { "http://a\0b" }, { "http://a\r\nb" }, { "http://a\nb" } }),
    user_agent = headers(),
}

local OF_ALL_METHODS = {
    service = words(),
    api_version = words(),
    timeout = seconds(),
    deadline = seconds(),
    max_attempts = counts(),
}

local METHODS = {
    stop_instances = {
        force_shutdown = booleans(),
        on_error = with(wrong_types({ 1, true, {} }, "a non-empty string"),
            { { "" }, { "Stop" }, { "stop " }, { "continue\0" }, { "ignore" } }),
    },
    describe_instances_status = {},
    call = { idempotent = booleans() },
    pages = { idempotent = booleans() },
}

for _, options in pairs(METHODS) do
    for name, bad in pairs(OF_ALL_METHODS) do
        options[name] = bad
    end
end

local ARGUMENTS = {
    stop_instances = { { "ins-0001" } },
    describe_instances_status = { { "ins-0001" } },
    call = { "DescribeInstances", {} },
    pages = { "DescribeInstances", {} },
}

local function call(module, method, options)
    local client = module.new(errors.options())
    local arguments = ARGUMENTS[method]
    return client[method](client, arguments[1], arguments[2] or options,
        arguments[2] and options)
end

-- { name, how to hand it a table of options, its options }
local DOORS = {
    {
        name = "new",
        options = OF_NEW,
        call = function(module, options)
            return module.new(options)
        end,
        complete = function(options)
            local all = errors.options { api_version = "2020-01-01" }
            for name, value in pairs(options) do
                all[name] = value
            end
            if options.token ~= nil then
                all.access_key_id, all.access_key_password = nil, nil
            end
            return all
        end,
    },
}
for method, options in pairs(METHODS) do
    DOORS[#DOORS + 1] = {
        name = method,
        options = options,
        call = function(module, given)
            return call(module, method, given)
        end,
        complete = function(given)
            if given.api_version == nil then
                given.api_version = "2020-01-01"
            end
            return given
        end,
    }
end
table.sort(DOORS, function(a, b)
    return a.name < b.name
end)

for _, door in ipairs(DOORS) do
    describe(door.name, function()
        local names = {}
        for name in pairs(door.options) do
            names[#names + 1] = name
        end
        table.sort(names)
        for _, name in ipairs(names) do
            it("refuses wrong types and values of " .. name, function()
                for _, bad in ipairs(door.options[name]) do
                    local given = door.complete { [name] = bad[1] }
                    local expected = { where = "options." .. name, text = bad[2] }
                    local ok, message = pcall(errors.refused, expected, function(module)
                        return door.call(module, given)
                    end)
                    if not ok then
                        error(("with %q: %s"):format(tostring(bad[1]), tostring(message)))
                    end
                end
            end)
        end

        it("refuses options that are no table", function()
            for _, value in ipairs { 1, true, false, "x", print } do
                local text = "expected a table, got " .. type(value)
                errors.refused({ where = "options", text = text }, function(module)
                    return door.call(module, value)
                end)
            end
        end)

        it("refuses an unknown option, and names the nearest of each", function()
            for _, name in ipairs(names) do
                local capital = name:gsub("^%l", string.upper)
                for _, slip in ipairs { name .. "s", "x" .. name, capital } do
                    if not door.options[slip] then
                        errors.refused({
                            code = "UNKNOWN_OPTION", where = "options",
                            text = ("'%s'; the nearest is '%s'"):format(slip, name),
                        }, function(module)
                            return door.call(module, door.complete { [slip] = 1 })
                        end)
                    end
                end
            end
        end)

        it("refuses a name with a NUL byte in it", function()
            for _, name in ipairs(names) do
                for _, slip in ipairs { name .. "\0", name .. "\0s", "\0" .. name } do
                    errors.refused({ code = "UNKNOWN_OPTION", where = "options" }, function(module)
                        return door.call(module, door.complete { [slip] = 1 })
                    end)
                end
            end
        end)

        it("refuses keys that are no names, and names of any length", function()
            for _, key in ipairs { 1, 1.5, true, {}, print, "", ("x"):rep(100000) } do
                errors.refused({ code = "UNKNOWN_OPTION", where = "options" }, function(module)
                    return door.call(module, door.complete { [key] = 1 })
                end)
            end
        end)

        it("does not look at the metatable of its options", function()
            local function touch()
                error "no metamethod is to be called"
            end
            local hostile = { __index = touch, __pairs = touch, __len = touch, __newindex = touch }
            errors.refused({ where = "options.timeout" }, function(module)
                return door.call(module, setmetatable(door.complete { timeout = 0 }, hostile))
            end)
        end)
    end)
end

describe("a service of dots", function()
    -- They are the path of another address: /api/v2/.. is /api.
    it("is refused", function()
        for _, service in ipairs { ".", ".." } do
            local options = { service = service, api_version = "2020-01-01" }
            errors.refused({ where = "options.service" }, function(module)
                return module.new(errors.options(options))
            end)
            for method in pairs(METHODS) do
                errors.refused({ where = "options.service" }, function(module)
                    return call(module, method, options)
                end)
            end
        end
    end)
end)

describe("options that do not go together", function()
    it("a service without a default version, and no version", function()
        for _, service in ipairs { "cdn", "VM", "vm2", "v" } do
            errors.refused({ where = "options.api_version" }, function(module)
                return module.new(errors.options { service = service })
            end)
            for method in pairs(METHODS) do
                errors.refused({ where = "options.api_version" }, function(module)
                    return call(module, method, { service = service })
                end)
            end
        end
    end)

    it("a client's version is its own service's alone", function()
        errors.refused({ where = "options.api_version" }, function(module)
            local client = module.new(errors.options {
                service = "cdn", api_version = "2020-01-01",
            })
            return client:call("DescribeThings", {}, { service = "other" })
        end)
    end)

    it("force_shutdown and service bmc, wherever that comes from", function()
        for _, value in ipairs { true, false } do
            errors.refused({ where = "options.force_shutdown", text = "bmc" }, function(module)
                return call(module, "stop_instances", { service = "bmc", force_shutdown = value })
            end)
            errors.refused({ where = "options.force_shutdown", text = "bmc" }, function(module)
                return module.new(errors.options { service = "bmc" })
                    :stop_instances({ "a" }, { force_shutdown = value })
            end)
        end
    end)

    it("describe_instances_status and service bmc, wherever that comes from", function()
        errors.refused({ where = "options.service", text = "bmc" }, function(module)
            return call(module, "describe_instances_status", { service = "bmc" })
        end)
        for _, ids in ipairs { false, { "a" } } do
            errors.refused({ where = "options.service", text = "bmc" }, function(module)
                return module.new(errors.options { service = "bmc" })
                    :describe_instances_status(ids or nil)
            end)
        end
    end)

    it("a proxy and an http endpoint", function()
        errors.refused({ where = "options.proxy", text = "http://" }, function(module)
            return module.new(errors.options {
                endpoint = "http://127.0.0.1:1", proxy = "http://127.0.0.1:2",
            })
        end)
    end)

    it("an http endpoint and connect_to another machine", function()
        for _, address in ipairs { "example.com", "10.0.0.1:80", "127.evil.example" } do
            errors.refused({ where = "options.connect_to", text = "loopback" }, function(module)
                return module.new(errors.options {
                    endpoint = "http://127.0.0.1:1", connect_to = address,
                })
            end)
        end
    end)

    it("a ca_file or ca_path that does not exist is named", function()
        for _, name in ipairs { "ca_file", "ca_path" } do
            errors.refused({ where = "options." .. name, text = "/nonexistent/ca.pem" },
                function(module)
                    return module.new(errors.options { [name] = "/nonexistent/ca.pem" })
                end)
        end
    end)
end)

describe("good options", function()
    it("are taken", function()
        for name, values in pairs {
            max_attempts = { 1, 2.0, 100 }, max_concurrency = { 1, 64 },
            max_response_bytes = { 1, 1024, 8 * 1024 * 1024 }, timeout = { 0.001, 1, 3600 },
            connect_timeout = { 0.5 }, deadline = { 1e-9, 86400 }, user_agent = { "é \t x" },
            proxy = { false, "http://127.0.0.1:2" }, connect_to = { "127.0.0.1:2", "[::1]:443" },
            service = { "vm", "bmc", "zec" }, api_version = { "2023-03-13" },
            ca_file = { "/dev/null" }, ca_path = { "/etc" },
        } do
            for _, value in ipairs(values) do
                local ok, err = pcall(zenlayer.new, errors.options { [name] = value })
                assert(ok, ("%s = %s: %s"):format(name, tostring(value), tostring(err)))
                err:close()
            end
        end
    end)
end)
