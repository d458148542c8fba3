-- What a frame may cost: client:poll(0), called by a game once a frame.
local closing = require "every_lua".closing
local lfs = require "lfs"
local process = require "process"
local sandbox = require "sandbox"

describe("a frame", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)

    -- How many sockets this process has open.
    local function count_sockets()
        local count = 0
        for name in lfs.dir "/proc/self/fd" do
            local link = name:find "^%d+$" and lfs.symlinkattributes("/proc/self/fd/" .. name)
            if link and link.target:find "^socket:" then
                count = count + 1
            end
        end
        return count
    end

    local function finish(client)
        local limit = process.now() + 20 * process.slowness
        while client:poll(0.1) > 0 do
            assert(process.now() < limit, "the jobs do not end")
        end
    end

    it("opens at most one connection", function()
        box:faults { { fault = "delay", seconds = 1 * process.slowness, action = "StopInstances" } }
        local client = closing(box:client())
        assert(client:connect())
        local job = client:submit_stop_instances(box:ids(1000))
        local before, most = count_sockets(), 0
        local first, limit = before, process.now() + 10 * process.slowness
        while before < first + 7 do
            client:poll(0)
            local now = count_sockets()
            most = math.max(most, now - before)
            before = now
            process.sleep(0.002)
            assert(process.now() < limit, ("%d connections were opened"):format(before - first))
        end
        assert.equal(1, most)
        finish(client)
        assert.equal(10, #job:result())
        assert.equal(8, #box:connections())
    end)

    it("in which nothing comes takes 20 microseconds at most", function()
        box:faults { { fault = "delay", seconds = 1 * process.slowness, action = "StopInstances" } }
        local client = closing(box:client())
        assert(client:connect())
        client:submit_stop_instances(box:ids(100))
        process.await(function()
            client:poll(0)
            return #box:requests() == 1
        end, "the request")
        client:poll(0)
        local best_us = math.huge -- of several: other processes run too
        for _ = 1, 20 do
            local began_s = process.now()
            for _ = 1, 100 do
                client:poll(0)
            end
            best_us = math.min(best_us, (process.now() - began_s) * 1e4)
        end
        assert.is_true(best_us <= 20 * process.slowness, ("%.1f us"):format(best_us))
        finish(client)
    end)
end)
