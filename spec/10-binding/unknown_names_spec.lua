-- Names of options and of methods that do not exist: what was meant, or what there is.
local closing = require "every_lua".closing
local core = require "zenlayer.core"
local errors = require "binding_errors"
local expect = require "expect"
local safe = require "zenlayer.safe"
local sources = require "sources"
local zenlayer = require "zenlayer"

local MODULES = { zenlayer = zenlayer, safe = safe, core = core }

local function unknown_option(text, name, use)
    errors.refused({ code = "UNKNOWN_OPTION", where = "options", text = text }, function(module)
        return use(module.new(errors.options()), { [name] = true }, module)
    end)
end

local function new(_, options, module)
    return module.new(errors.options(options))
end

local function stop(client, options)
    return client:stop_instances({ "a" }, options)
end

local function call(client, options)
    return client:call("Echo", {}, options)
end

describe("an option that does not exist", function()
    it("is taken for one that is written otherwise, or called otherwise elsewhere", function()
        for name, meant in pairs {
            accessKeyId = "access_key_id", ["access-key-id"] = "access_key_id",
            access_key = "access_key_id", secret_key_id = "access_key_id",
            accessKeySecret = "access_key_password", access_key_secret = "access_key_password",
            secret = "access_key_password", secretKey = "access_key_password",
            secret_access_key = "access_key_password", password = "access_key_password",
            Timeout = "timeout", tiemout = "timeout", timeout_ms = "timeout", url = "endpoint",
            endPoint = "endpoint", retries = "max_attempts", maxRetries = "max_attempts",
            concurrency = "max_concurrency", version = "api_version", ca_cert = "ca_file",
            http_proxy = "proxy", userAgent = "user_agent",
        } do
            unknown_option(("unknown option '%s'; the nearest is '%s'"):format(name, meant), name,
                new)
        end
        for name, meant in pairs {
            forceShutdown = "force_shutdown", ["force-shutdown"] = "force_shutdown",
            force = "force_shutdown", onError = "on_error", waitTimeout = "wait_timeout",
        } do
            unknown_option(("unknown option '%s'; the nearest is '%s'"):format(name, meant), name,
                stop)
        end
    end)

    it("that is near to none is told all there are", function()
        local all = table.concat(sources.strings "call_options", ", ")
        for _, name in ipairs { "region", "force_shutdown", "secret", "", "wait" } do
            unknown_option(("unknown option '%s'; there are %s"):format(name, all), name, call)
        end
        all = table.concat(sources.strings "zlb_client_options", ", ")
        for _, name in ipairs { "region", "verify", "on_error", "debug" } do
            unknown_option(("unknown option '%s'; there are %s"):format(name, all), name, new)
        end
    end)

    it("is shown in a line, however long it is, and whatever is in it", function()
        unknown_option("unknown option 'timeout?'; the nearest is 'timeout'", "timeout\0", call)
        unknown_option("unknown option 'a?b???'; there are", "a\nb\0\27\127", call)
        unknown_option("'" .. ("x"):rep(60) .. "...'; there are", ("x"):rep(100000), call)
        unknown_option("'" .. ("x"):rep(59) .. "...'; there are", ("x"):rep(59) .. "é", call)
    end)
end)

-- One of each that has methods, by their name in errors.
local function objects(module)
    local client = closing(module.new {
        access_key_id = "KEY", access_key_password = "pa55-word-of-tests",
        endpoint = errors.NOWHERE, proxy = false,
    })
    return {
        ["a client"] = client,
        ["a job"] = module ~= core and client:submit_call "DescribeThings" or nil,
        ["a prepared operation"] = client:prepare "DescribeThings",
    }
end

local function at(object, name)
    local function get()
        return object[name]
    end
    return pcall(get)
end

-- Raised by all modules, zenlayer.safe too: it is no call yet.
local function unknown_method(what, name, text)
    local seen = 0
    for _, module in pairs(MODULES) do
        local object = objects(module)[what]
        if object then
            seen = seen + 1
            local ok, err = at(object, name)
            assert.is_false(ok)
            expect.failure({
                kind = "argument", code = "UNKNOWN_METHOD", outcome = "not_sent",
                retryable = false, where = expect.ABSENT,
                message = ("%s has no method '%s'; %s"):format(what, name, text),
            }, nil, err)
        end
    end
    assert.is_true(seen >= 2)
end

describe("a method that does not exist", function()
    it("is taken for the one that was meant", function()
        for _, each in ipairs {
            { "a client", "prepare_stop_instance", "prepare_stop_instances" },
            { "a client", "prepareStopInstances", "prepare_stop_instances" },
            { "a client", "Close", "close" },
            { "a job", "results", "result" },
            { "a job", "is_done", "done" },
            { "a prepared operation", "steps", "step" },
            { "a prepared operation", "stepHttp", "step_http" },
            { "a prepared operation", "fail", "failed" },
        } do
            unknown_method(each[1], each[2], "the nearest is '" .. each[3] .. "'")
        end
        for name, meant in pairs {
            stop_instance = "stop_instances", stopInstances = "stop_instances",
            StopInstances = "stop_instances", status = "describe_instances_status",
            wait = "wait_until_stopped", submit = "submit_call", socket = "sockets",
        } do
            local ok, err = at(closing(zenlayer.new(errors.options())), name)
            assert.is_false(ok)
            assert.equal(("a client has no method '%s'; the nearest is '%s'"):format(name, meant),
                err.message)
        end
    end)

    it("that is near to none is told what there is", function()
        unknown_method("a job", "finished", "there are cancel, done, result, wait")
        unknown_method("a prepared operation", "next",
            "there are cancel, failed, reply, result, step, step_http")
        for _, name in ipairs { "start_instances", "reboot_instances", "delete", "" } do
            local ok, err = at(closing(safe.new(errors.options())), name)
            assert.is_false(ok)
            local list = err.message:match("^a client has no method '" .. name
                .. "'; there are (.*)$")
            local told = {}
            for each in assert(list, err.message):gsub(" %b()", ""):gmatch "[^, ]+" do
                told[#told + 1] = each
            end
            local methods = {}
            for each in pairs(getmetatable(closing(safe.new(errors.options()))).__index) do
                methods[#methods + 1] = each
            end
            table.sort(methods)
            assert.same(methods, told)
            assert.is_truthy(list:find("call (any action of the API)", 1, true))
        end
    end)

    it("is an error of the line that asks for it", function()
        local client = closing(safe.new(errors.options()))
        local reached = false
        local ok, err = pcall(function()
            client:stop_instance({ "a" })
            reached = true
        end)
        assert.is_false(ok)
        assert.is_false(reached)
        assert.is_true(safe.is_error(err))
    end)
end)

describe("what has methods", function()
    it("has nothing at keys that are no names, and at those that Lua looks for", function()
        for _, module in pairs(MODULES) do
            for _, object in pairs(objects(module)) do
                for _, key in ipairs { 1, 0.5, true, {}, print, "__eq", "__index", "__tostring" } do
                    local ok, value = at(object, key)
                    assert.is_true(ok)
                    assert.is_nil(value)
                end
            end
        end
    end)

    it("takes no fields", function()
        for _, module in pairs(MODULES) do
            for what, object in pairs(objects(module)) do
                for key, text in pairs {
                    timeout = what .. " takes no fields: 'timeout' cannot be set",
                    result = what .. " takes no fields: 'result' cannot be set",
                    [1] = what .. " takes no fields",
                } do
                    local ok, err = pcall(function()
                        object[key] = 1
                    end)
                    assert.is_false(ok)
                    expect.failure({
                        kind = "argument", code = "INVALID_ARGUMENT", outcome = "not_sent",
                        message = text,
                    }, nil, err)
                end
            end
        end
    end)

    it("can be printed, compared, listed and held like any value", function()
        for _, module in pairs(MODULES) do
            local all, others = objects(module), objects(module)
            for what, object in pairs(all) do
                assert.is_string(tostring(object))
                assert.same(object, object)
                assert.same({ object }, { object })
                assert.are_not.same(object, others[what])
                assert.are_not.same({ object }, { others[what] })
                assert.is_false(pcall(assert.same, { object }, { 1 })) -- it prints both
                assert.equal("userdata", type(object))
                assert.is_true(({ [object] = true })[object])
                for _, metamethod in ipairs { "__gc", "__tostring", "__index" } do
                    assert.is_truthy(debug.getmetatable(object)[metamethod])
                end
                for name, method in pairs(debug.getmetatable(object).__index) do
                    assert.is_string(name)
                    assert.is_function(method)
                    assert.equal(method, object[name])
                end
            end
        end
    end)

    it("finds its methods in a table, without a function in between", function()
        for _, module in pairs(MODULES) do
            for _, object in pairs(objects(module)) do
                assert.is_table(debug.getmetatable(object).__index)
            end
        end
    end)
end)
