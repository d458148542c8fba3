-- A process forked with an open client opens its own connections, and leaves its parent's alone.
local cjson = require "cjson"
local expect = require "expect"
local forking = require "forking"
local process = require "process"
local sandbox = require "sandbox"

-- in_child(f) runs f in a forked process; what f returns is returned here, as text.
local HEAD = [[
package.cpath = arg[2] .. package.cpath
local cjson, forker, lfs = require "cjson", require "forker", require "lfs"
local safe = require "zenlayer.safe"
local directory = arg[3]
local client = assert(safe.new(cjson.decode(arg[1])))
local function echo(n)
    local response, err = client:call("Echo", { n = n })
    return response and response.params.n or tostring(err)
end
local children = 0
local function in_child(f)
    children = children + 1
    local path = ("%s/child-%d"):format(directory, children)
    io.stdout:flush()
    local pid = forker.fork()
    if pid == 0 then
        local ok, result = pcall(f)
        local file = assert(io.open(path, "w"))
        assert(file:write(cjson.encode { ok = ok, result = tostring(result) }))
        assert(file:close())
        forker.exit(0)
    end
    assert(forker.wait(pid) == 0, "the child was killed")
    local file = assert(io.open(path))
    local told = cjson.decode(file:read "*a")
    file:close()
    assert(told.ok, told.result)
    return told.result
end
]]

describe("a forked process", function()
    local directory, cpath

    setup(function()
        directory = process.temporary_directory()
        cpath = forking.compile(directory)
    end)
    teardown(function()
        process.remove(directory)
    end)

    for _, transport in ipairs { "TLS", "plain http" } do
        describe("over " .. transport, function()
            local box

            setup(function()
                box = sandbox.start(transport == "plain http" and { "--http" } or {})
            end)
            teardown(function()
                box:stop()
            end)
            before_each(function()
                box:faults {}
            end)

            local function run(body, options)
                local output, status = process.run_lua(HEAD .. body, {},
                    cjson.encode(box:options(options)), cpath, directory)
                assert.equal(0, status, output)
                return output
            end

            -- The connection of each Echo, by its n.
            local function connections()
                local found = {}
                for _, request in ipairs(box:requests()) do
                    if request.action == "Echo" then
                        found[request.params.n] = request.connection
                    end
                end
                return found
            end

            it("uses the client with a connection of its own", function()
                assert.equal("1\n2 3\n4\n", run [[
                    print(echo(1))
                    print(in_child(function()
                        return echo(2) .. " " .. echo(3)
                    end))
                    print(echo(4))
                ]])
                local found = connections()
                assert.equal(found[1], found[4])
                assert.equal(found[2], found[3])
                assert.are_not.equal(found[1], found[2])
                assert.equal(2, #box:connections())
                local last = box:requests()[4]
                assert.equal(2, last.nth_on_connection) -- nothing else came on the parent's
            end)

            it("gets right results of every kind", function()
                local told = run [[
                    assert(client:connect())
                    local ids = {}
                    for i = 1, 250 do
                        ids[i] = "id-" .. i
                    end
                    print(in_child(function()
                        assert(client:connect())
                        local request_ids, batches = assert(client:stop_instances(ids))
                        assert(#request_ids == 3 and #batches[3].instance_ids == 50)
                        local statuses = assert(client:describe_instances_status(ids))
                        local count = 0
                        for _, id in ipairs(ids) do
                            count = count + (statuses[id] and statuses[id]:find "^STOP" and 1 or 0)
                        end
                        local _, err = client:call "NoSuchAction"
                        assert(err.kind == "api" and err.outcome == "rejected", tostring(err))
                        return count
                    end))
                    print(echo(1))
                ]]
                assert.equal("250\n1\n", told)
                local requests = box:requests()
                assert.equal(8, #requests)
                assert.equal(box:connections()[1], requests[8].connection)
                for i = 1, 7 do
                    assert.are_not.equal(requests[8].connection, requests[i].connection)
                end
            end)

            it("and its own, and its sisters, each have one", function()
                assert.equal("1\n2 3 4\n5\n6\n", run [[
                    print(echo(1))
                    print(in_child(function()
                        local first = echo(2)
                        return first .. " " .. in_child(function()
                            return echo(3)
                        end) .. " " .. echo(4)
                    end))
                    print(in_child(function()
                        return echo(5)
                    end))
                    print(echo(6))
                ]])
                local found = connections()
                assert.equal(found[1], found[6])
                assert.equal(found[2], found[4])
                assert.equal(4, #box:connections())
            end)

            it("may be the first to use the client", function()
                assert.equal("1\n2\n3\n", run [[
                    print(in_child(function()
                        return echo(1)
                    end))
                    print(echo(2))
                    print(echo(3))
                ]])
                local found = connections()
                assert.are_not.equal(found[1], found[2])
                assert.equal(found[2], found[3])
            end)

            it("disturbs nothing when it only closes or collects the client", function()
                assert.equal("1\nclosed\ncollected\nCLIENT_CLOSED\n0\n2\n", run [[
                    print(echo(1))
                    print(in_child(function()
                        client:close()
                        client:close()
                        return "closed"
                    end))
                    print(in_child(function()
                        client = nil
                        collectgarbage()
                        collectgarbage()
                        return "collected"
                    end))
                    print(in_child(function()
                        client:close()
                        return select(2, client:call "Echo").code
                    end))
                    io.stdout:flush()
                    local pid = forker.fork()
                    if pid == 0 then
                        forker.skip_leak_check()
                        os.exit(0, true)
                    end
                    print(forker.wait(pid))
                    print(echo(2))
                ]])
                assert.equal(1, #box:connections())
                assert.equal(2, #box:requests())
                assert.equal(2, box:requests()[2].nth_on_connection)
            end)

            it("keeps the files that took the numbers of the parent's sockets", function()
                local told = run [[
                    print(echo(1))
                    print(in_child(function()
                        local file = assert(io.open(directory .. "/kept", "w"))
                        forker.replace(file, 3, 60)
                        local before = {}
                        for fd = 3, 60 do
                            before[fd] = lfs.symlinkattributes("/proc/self/fd/" .. fd, "target")
                            assert(before[fd] == directory .. "/kept", before[fd])
                        end
                        local function check(what)
                            for fd = 3, 60 do
                                local now = lfs.symlinkattributes("/proc/self/fd/" .. fd, "target")
                                assert(now == before[fd],
                                    ("%s: %d is %s"):format(what, fd, tostring(now)))
                            end
                        end
                        local told = tostring(echo(2))
                        check "after a call"
                        assert(client:connect())
                        assert(client:stop_instances { "a" })
                        check "after a stop"
                        client:close()
                        check "after close()"
                        client = nil
                        collectgarbage()
                        check "after a collection"
                        return told
                    end))
                    print(echo(3))
                    client:close()
                ]]
                assert.equal("1\n2\n3\n", told)
                assert.equal(0, #process.read(directory .. "/kept")) -- nothing was written there
                local found = connections()
                assert.equal(found[1], found[3])
            end)

            it("keeps them when it only closes the client", function()
                run [[
                    assert(client:connect())
                    in_child(function()
                        local file = assert(io.open(directory .. "/kept", "w"))
                        forker.replace(file, 3, 60)
                        client:close()
                        for fd = 3, 60 do
                            local now = lfs.symlinkattributes("/proc/self/fd/" .. fd, "target")
                            assert(now == directory .. "/kept", fd .. " is " .. tostring(now))
                        end
                        return true
                    end)
                    print(echo(1))
                ]]
                assert.equal(0, #process.read(directory .. "/kept"))
                assert.equal(1, #box:connections())
            end)

            it("has nothing of its parent's jobs, which go on", function()
                box:faults { {
                    fault = "delay", seconds = 1.5 * process.slowness,
                    action = "DescribeInstancesStatus",
                } }
                assert.equal(([[
                    poll: 0 unknown not_sent, 0 sockets, 11
                    wait: true unknown, 12
                    cancel: true false unknown, 13
                    connect: not_sent, 14
                    close: unknown not_sent
                    collect
                    parent: 3
                ]]):gsub("^ +", ""):gsub("\n +", "\n"), (run([[
                    -- One is sent, on a connection that is there; one waits for room.
                    assert(echo(1) == 1)
                    local jobs = {}
                    for n = 1, 2 do
                        jobs[n] = client:submit_call("DescribeInstancesStatus")
                    end
                    for _ = 1, 10 do
                        client:poll(0.01)
                    end
                    assert(#client:sockets() == 1)
                    local function outcome(n)
                        assert(jobs[n]:done())
                        local _, err = jobs[n]:result()
                        assert(err.code == "CANCELLED")
                        return err.outcome
                    end
                    local function nothing_of_the_parent()
                        assert(#client:sockets() == 0 and client:next_timeout() == 0)
                        assert(not jobs[1]:done() and not jobs[2]:done())
                    end
                    print("poll:", in_child(function()
                        nothing_of_the_parent()
                        local left = client:poll(5)
                        assert(client:next_timeout() == nil)
                        return ("%d %s %s, %d sockets, %s"):format(left, outcome(1), outcome(2),
                            #client:sockets(), echo(11))
                    end))
                    print("wait:", in_child(function()
                        nothing_of_the_parent()
                        return ("%s %s, %s"):format(jobs[1]:wait(5), outcome(1), echo(12))
                    end))
                    print("cancel:", in_child(function()
                        nothing_of_the_parent()
                        local first, second = jobs[1]:cancel(), jobs[1]:cancel()
                        return ("%s %s %s, %s"):format(first, second, outcome(1), echo(13))
                    end))
                    print("connect:", in_child(function()
                        assert(client:connect())
                        return ("%s, %s"):format(outcome(2), echo(14))
                    end))
                    print("close:", in_child(function()
                        client:close()
                        return outcome(1) .. " " .. outcome(2)
                    end))
                    print(in_child(function()
                        client, jobs = nil, nil
                        collectgarbage()
                        collectgarbage()
                        return "collect"
                    end))
                    while client:poll(1) > 0 do end
                    for n = 1, 2 do
                        assert(jobs[n]:result())
                    end
                    print("parent:", echo(3))
                ]], { max_concurrency = 1 }):gsub("\t", " ")))
                local requests = box:requests()
                assert.equal(8, #requests) -- no child sent a job's again
                local parent = requests[1].connection
                for _, request in ipairs(requests) do
                    local is_child = request.action == "Echo" and request.params.n > 10
                    assert.equal(not is_child, request.connection == parent)
                end
            end)

            it("has many at once, and so has its parent", function()
                local output = run([[
                    local function stop(beginning)
                        local ids = {}
                        for i = 1, 800 do
                            ids[i] = beginning .. i
                        end
                        return #assert(client:stop_instances(ids))
                    end
                    print(stop "a", in_child(function()
                        return stop "b"
                    end), stop "c")
                ]], { max_concurrency = 4 })
                assert.equal("8\t8\t8\n", output)
                local owner = {}
                for _, request in ipairs(box:requests()) do
                    local first = request.params.instanceIds[1]
                    local who = first:find "^b" and "child" or "parent"
                    assert.equal(who, owner[request.connection] or who)
                    owner[request.connection] = who
                end
                expect.success(next(owner))
            end)
        end)
    end
end)
