-- Browsers that go away: what their requests had under way holds up nobody, and its answer is
-- nobody else's.
local expect = require "expect"
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"

local SECONDS = 8 * process.slowness

describe("a request that its browser gave up", function()
    local box, front

    setup(function()
        box = sandbox.start()
        front = remote.start(box, { server = "lua_check_client_abort on;" })
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    local function echo(client, n)
        assert.equal(n, (expect.success(client:call("Echo", { n = n }))).params.n)
    end

    it("in flight gives its place back, long before its timeout", function()
        local client = front:client { max_concurrency = 2 } -- and a timeout of 30 seconds
        box:faults { { fault = "stall", seconds = 120, times = 2 } }
        local stalled = {}
        for i = 1, 2 do
            stalled[i] = client:begin("return client:call('Echo', { n = ... })", i)
        end
        box:await_requests(2)
        local waiting = client:begin("return client:call('Echo', { n = 3 })")
        for i = 1, 2 do
            stalled[i]:abort()
        end
        local began = process.now()
        assert.equal(3, waiting:result().params.n)
        for n = 4, 9 do
            echo(client, n)
        end
        local seconds = process.now() - began
        assert.is_true(seconds < SECONDS, seconds)
        assert.equal(9, #box:requests())
    end)

    it("with batches under way gives all places back", function()
        local client = front:client { max_concurrency = 3 }
        box:faults { { fault = "stall", seconds = 120, times = 3 } }
        -- Where a body came in more than one piece nginx does not notice, so it is a short one.
        local stalled = client:begin [[
            local ids = {}
            for i = 1, 850 do ids[i] = "many-" .. i end
            return client:stop_instances(ids)
        ]]
        box:await_requests(3)
        stalled:abort()
        local began = process.now()
        local ids = box:ids(850)
        local _, batches = expect.success(client:stop_instances(ids))
        expect.partition(ids, batches)
        assert.is_true(process.now() - began < SECONDS)
        assert.equal(3 + 9, #box:requests())
    end)

    it("while it waited for a place is passed over", function()
        local client = front:client { max_concurrency = 1 }
        box:faults { { fault = "delay", seconds = 1, requests = { 1 } } }
        local first = client:begin "return client:call('Echo', { n = 1 })"
        box:await_requests(1)
        local waiting = {}
        for i = 1, 10 do
            waiting[i] = client:begin("return client:call('Echo', { n = ... })", i)
        end
        process.sleep(0.2) -- nginx notices only once they run
        for i = 1, 9 do
            waiting[i]:abort()
        end
        local began = process.now()
        assert.equal(1, first:result().params.n)
        assert.equal(10, waiting[10]:result().params.n)
        assert.is_true(process.now() - began < SECONDS)
        assert.equal(2, #box:requests())
    end)

    it("in the middle of its answer leaves no connection that is half read", function()
        local client = front:client { max_concurrency = 4 }
        for round = 1, 5 do
            -- The head and a part of the body have come, and the rest comes later.
            box:faults { { fault = "slow", chunk = 40, pause = 0.05, times = 4 } }
            local slow = {}
            for i = 1, 4 do
                slow[i] = client:begin("return client:call('Echo', { n = ... })", -i)
            end
            box:await_requests(4)
            process.sleep(0.05 * round)
            for i = 1, 4 do
                slow[i]:abort()
            end
            for n = 1, 8 do
                echo(client, 100 * round + n)
            end
        end
    end)

    it("at any moment takes nothing from the others", function()
        local client = front:client { max_concurrency = 4 }
        box:faults { { fault = "delay", seconds = 0.03 } }
        local began, others, given_up = process.now(), {}, {}
        for i = 1, 40 do
            local request = client:begin("return client:call('Echo', { n = ... })", i)
            if i % 2 == 0 then
                others[#others + 1] = { n = i, request = request }
            else
                given_up[#given_up + 1] = request
            end
            if i % 3 == 0 then
                process.sleep(0.02)
                table.remove(given_up, 1):abort()
            end
        end
        for _, request in ipairs(given_up) do
            request:abort()
        end
        for _, each in ipairs(others) do
            local response, err = each.request:result()
            assert.is_table(response, tostring(err))
            assert.equal(each.n, response.params.n)
        end
        assert.is_true(process.now() - began < 3 * SECONDS)
        box:faults {}
        for n = 101, 120 do
            echo(client, n)
        end
        assert.equal(20, #box:requests())
    end)
end)
