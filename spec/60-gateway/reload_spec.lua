-- Workers come and go: a reload, and what a worker has loaded.
local process = require "process"
local remote = require "remote"
local sandbox = require "sandbox"

describe("a worker", function()
    local box, front

    setup(function()
        box = sandbox.start()
        front = remote.start(box, { workers = 2 })
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    it("has no libcurl in it", function()
        local client = front:first()
        for _ = 1, 10 do
            assert(client:call "Echo")
        end
        local seen = 0
        for _, pid in ipairs(front.gateway:workers()) do
            local maps = process.read("/proc/" .. pid .. "/maps")
            assert.is_nil(maps:find("libcurl", 1, true))
            assert.is_nil(maps:find("/zenlayer.so", 1, true))
            seen = seen + (maps:find("zenlayer/core.so", 1, true) and 1 or 0)
        end
        assert.equal(2, seen)
    end)

    it("that is replaced ends what it has under way", function()
        local client = front:first()
        box:faults { { fault = "delay", seconds = 1, times = 3 } }
        local under_way = {}
        for i = 1, 3 do
            under_way[i] = client:begin("return client:stop_instances(...)", box:ids(1))
        end
        box:await_requests(3)
        front.gateway:reload()
        assert(client:call "Echo") -- the new ones work
        for i = 1, 3 do
            local request_ids, err = under_way[i]:result()
            assert(request_ids, tostring(err))
        end
        assert.equal(4, #box:requests())
    end)

    it("has connections of its own", function()
        local client = front:first()
        for _ = 1, 20 do
            assert(client:call "Echo")
        end
        assert.is_true(#box:connections() <= 2)
    end)
end)
