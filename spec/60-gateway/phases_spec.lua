-- The phases of nginx: where resty.zenlayer works, where it refuses, and what zenlayer, which would
-- block, does there.
local cjson = require "cjson"
local expect = require "expect"
local remote = require "remote"
local sandbox = require "sandbox"

-- Tried in every phase: what is told of it is read by another request. The module of libcurl is
-- loaded in nginx for this spec alone.
local TRY = [[
local cjson = require "cjson"
local tried = { told = {} }

local function note(result, err)
    if result ~= nil then
        return { ok = true }
    end
    return { kind = err.kind, code = err.code, message = err.message, outcome = err.outcome,
        attempts = err.attempts, is_error = require("zenlayer.core").is_error(err)
            or require("zenlayer").is_error(err) }
end

function tried.resty(phase)
    local zenlayer = require "resty.zenlayer"
    local client = zenlayer.new(cjson.decode(OPTIONS))
    tried.told[phase] = {
        note(client:call("Echo")), note(client:stop_instances({ "a" })),
        note(client:describe_instances_status()), note(client:wait_until_stopped({ "a" })),
    }
end

function tried.blocking(phase, allow)
    local options = cjson.decode(OPTIONS)
    options.ca_file, options.allow_blocking = CA_FILE, allow
    local client = assert(require("zenlayer.safe").new(options))
    tried.told[phase] = {
        note(client:call("Echo")), note(client:describe_instances_status({ "a" })),
    }
    client:close()
end

return tried
]]

local box, front

setup(function()
    box = sandbox.start()
    local options = box:options()
    options.ca_file = nil
    local values = ("local OPTIONS, CA_FILE = [==[%s]==], %q\n"):format(cjson.encode(options),
        box.ca_file)
    front = remote.start(box, {
        modules = { tried = values .. TRY },
        init = 'require("tried").resty "init"',
        init_worker = [[
            require("tried").resty "init_worker"
            require("tried").blocking "zenlayer in init_worker"
        ]],
        locations = {
            ["= /told"] = 'ngx.print(require("cjson").encode(require("tried").told))',
            ["= /set"] = { "set_by_lua_block $nothing { require('tried').resty 'set' return 1 } "
                .. "return 200 'set';" },
            ["= /header_filter"] = {
                content = "ngx.print 'x'", header_filter = "require('tried').resty 'header_filter'",
            },
            ["= /body_filter"] = {
                content = "ngx.print 'x'", body_filter = "require('tried').resty 'body_filter'",
            },
            ["= /log"] = { content = "ngx.print 'x'", log = "require('tried').resty 'log'" },
            ["= /blocking"] = [[
                require("tried").blocking "zenlayer in content"
                require("tried").blocking("zenlayer in content, allowed", true)
                local done = require("ngx.semaphore").new(0)
                assert(ngx.timer.at(0, function()
                    require("tried").blocking "zenlayer in timer"
                    require("tried").blocking("zenlayer in timer, allowed", true)
                    done:post()
                end))
                assert(done:wait(30))
            ]],
        },
    })
    front:first():run "return 1" -- init_worker is over by then
end)
teardown(function()
    front:stop()
    box:stop()
end)
before_each(function()
    box:faults {}
    front.gateway:mark()
end)
after_each(function()
    front.gateway:check_log()
end)

local function told(phase)
    return cjson.decode(front.gateway:get("/told").body)[phase]
end

describe("resty.zenlayer works", function()
    for phase, path in pairs {
        content = "/run", access = "/access", rewrite = "/rewrite", timer = "/timer",
    } do
        it("in the phase " .. phase, function()
            local far = front:first()
            assert.equal(phase, (far:run_at(path, "return ngx.get_phase()")))
            local ids = box:ids(250)
            local request_ids, batches = expect.success(
                far:run_at(path, "return client:stop_instances(...)", ids))
            assert.equal(3, #request_ids)
            expect.partition(ids, batches)
            assert.equal(3, #box:requests())
            remote.failure({ code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected" },
                far:run_at(path, "return client:stop_instances({ 'missing-1' })"))
            box:faults { { fault = "reset_before", times = 1 } }
            expect.success(far:run_at(path, "return client:describe_instances_status(...)", ids))
            assert.equal(4, #box:requests())
        end)
    end

    it("in many timers at once", function()
        local count = front:first():run [[
            local done, good = require("ngx.semaphore").new(0), 0
            for i = 1, 20 do
                assert(ngx.timer.at(0, function()
                    local response = client:call("Echo", { i = i })
                    good = good + (response and response.params.i == i and 1 or 0)
                    done:post()
                end))
            end
            for _ = 1, 20 do assert(done:wait(30)) end
            return good
        ]]
        assert.equal(20, count)
        assert.equal(20, #box:requests())
    end)

    it("in a coroutine of the user's, and in a light thread", function()
        local a, b = front:first():run [[
            local co = coroutine.wrap(function() return (client:call("Echo", { n = 1 })) end)
            local thread = ngx.thread.spawn(function() return client:call("Echo", { n = 2 }) end)
            local first = co()
            local _, second = ngx.thread.wait(thread)
            return first.params.n, second.params.n
        ]]
        assert.same({ 1, 2 }, { a, b })
    end)
end)

describe("resty.zenlayer refuses", function()
    for _, phase in ipairs {
        "init", "init_worker", "set", "header_filter", "body_filter", "log",
    } do
        it("in the phase " .. phase, function()
            if not phase:find "^init" then
                front.gateway:get("/" .. phase)
            end
            local results = told(phase)
            assert.equal(4, #results)
            for _, result in ipairs(results) do
                assert.equal("WRONG_PHASE", result.code)
                assert.equal("argument", result.kind)
                assert.equal("not_sent", result.outcome)
                assert.is_true(result.is_error)
                assert.is_truthy(result.message:find("phase " .. phase, 1, true), result.message)
                assert.is_truthy(result.message:find("ngx.timer.at", 1, true), result.message)
            end
            assert.equal(0, #box:requests())
        end)
    end
end)

describe("zenlayer, which blocks,", function()
    setup(function()
        front.gateway:get "/blocking"
    end)

    for _, phase in ipairs { "content", "timer" } do
        it("refuses in the phase " .. phase, function()
            local results = told("zenlayer in " .. phase)
            assert.equal(2, #results)
            for _, result in ipairs(results) do
                assert.equal("WRONG_PHASE", result.code)
                assert.equal("not_sent", result.outcome)
                for _, word in ipairs { phase, "resty.zenlayer", "allow_blocking" } do
                    assert.is_truthy(result.message:find(word, 1, true), result.message)
                end
            end
        end)

        it("works there with allow_blocking = true", function()
            assert.same({ { ok = true }, { ok = true } }, told("zenlayer in " .. phase
                .. ", allowed"))
        end)
    end

    it("works in init_worker", function()
        assert.same({ { ok = true }, { ok = true } }, told "zenlayer in init_worker")
    end)
end)
