-- examples/stop_instances.lua and examples/demo.sh, as somebody runs them from a shell.
local lfs = require "lfs"
local process = require "process"
local sandbox = require "sandbox"

describe("examples/stop_instances.lua", function()
    local box, directory

    setup(function()
        box = sandbox.start { "--stop-seconds", "1" }
        directory = process.temporary_directory()
    end)
    teardown(function()
        process.remove(directory)
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    local KEYS = {
        ZENLAYER_ACCESS_KEY_ID = sandbox.KEY_ID, ZENLAYER_ACCESS_KEY_SECRET = sandbox.PASSWORD,
    }

    -- Run it: exit status, stdout, stderr. `environment` has the keys, if any.
    local function run(words, input, environment)
        local command = { "env" }
        for _, name in ipairs {
            "ZENLAYER_ACCESS_KEY_ID", "ZENLAYER_ACCESS_KEY_SECRET", "ZENLAYER_TOKEN", "https_proxy",
            "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "ZENLAYER_PROFILE",
        } do
            table.move({ "-u", name }, 1, 2, #command + 1, command)
        end
        command[#command + 1] = "HOME=/nonexistent"
        for name, value in pairs(environment or KEYS) do
            command[#command + 1] = name .. "=" .. value
        end
        table.move({ process.lua, "examples/stop_instances.lua" }, 1, 2, #command + 1, command)
        table.move(words, 1, #words, #command + 1, command)
        process.write(directory .. "/in", input or "")
        local _, how, status = os.execute(("%s <%s/in >%s/out 2>%s/err"):format(
            process.command(command), directory, directory, directory))
        assert.equal("exit", how)
        return status, process.read(directory .. "/out"), process.read(directory .. "/err")
    end

    -- The same with the sandbox's endpoint before the words.
    local function stop(words, input, environment)
        local all = { "--endpoint", box.endpoint, "--ca-file", box.ca_file }
        table.move(words, 1, #words, #all + 1, all)
        return run(all, input, environment)
    end

    local function request_ids()
        local ids = {}
        for _, request in ipairs(box:requests()) do
            if request.action == "StopInstances" and request.acted then
                ids[#ids + 1] = request.request_id .. "\n"
            end
        end
        return table.concat(ids)
    end

    it("stops the ids of its arguments, hard", function()
        local ids = box:ids(3)
        local status, out, err = stop(ids)
        assert.equal("", err)
        assert.equal(0, status)
        local requests = box:requests()
        assert.equal(1, #requests)
        assert.same({ instanceIds = ids, forceShutdown = true }, requests[1].params)
        assert.equal(requests[1].request_id .. "\n", out)
    end)

    it("stops the ids on stdin, in order with --graceful", function()
        local ids = box:ids(3)
        local input = ("  %s\n\n\t%s %s\r\n"):format(table.unpack(ids))
        local status, out, err = stop({ "--graceful" }, input)
        assert.equal("", err)
        assert.equal(0, status)
        assert.same({ instanceIds = ids, forceShutdown = false }, box:requests()[1].params)
        assert.equal(request_ids(), out)
    end)

    it("does not read stdin when there are arguments", function()
        local ids = box:ids(2)
        assert.equal(0, (stop({ ids[1] }, ids[2])))
        assert.same({ ids[1] }, box:requests()[1].params.instanceIds)
    end)

    it("takes what follows -- for ids", function()
        local status, _, err = stop { "--graceful", "--", "--wait", "-x" }
        assert.equal(0, status, err)
        assert.same({ "--wait", "-x" }, box:requests()[1].params.instanceIds)
    end)

    it("has one request id for each hundred", function()
        local status, out, err = stop({}, table.concat(box:ids(250), "\n"))
        assert.equal(0, status, err)
        assert.equal("", err)
        local _, lines = out:gsub("T?[^\n]+\n", "")
        assert.equal(3, lines)
        for _, request in ipairs(box:requests()) do
            assert.is_truthy(out:find(request.request_id .. "\n", 1, true))
        end
    end)

    it("says line by line how far it is, with --wait", function()
        local ids = box:ids(3)
        ids[4] = ids[1]
        local status, out, err = stop { "--wait", table.unpack(ids) }
        assert.equal(0, status, err)
        assert.equal(request_ids(), out)
        assert.is_nil(err:find("[\r\27]"))
        local last = -1
        for line in err:gmatch "([^\n]*)\n" do
            local stopped = tonumber(line:match "^(%d) of 3 STOPPED$")
            assert(stopped, err)
            assert.is_true(stopped > last, err) -- a line only when something changed
            last = stopped
        end
        assert.equal("0 of 3 STOPPED\n", err:match "^[^\n]*\n")
        assert.equal(3, last)
        local requests = box:requests()
        assert.is_true(#requests >= 3)
        for i = 2, #requests do
            assert.equal("DescribeInstancesStatus", requests[i].action)
            assert.equal(3, #requests[i].params.instanceIds)
        end
    end)

    it("fails when the statuses cannot be had", function()
        box:faults { {
            fault = "status", status = 403, code = "NOT_YOURS", action = "DescribeInstancesStatus",
        } }
        local status, out, err = stop { "--wait", box:ids(1)[1] }
        assert.equal(1, status)
        assert.equal(request_ids(), out)
        assert.is_truthy(err:find "^stop_instances: zenlayer: NOT_YOURS: ", err)
        assert.is_truthy(err:find "\n  accepted  [^\n]+\n$", err)
    end)

    it("tells of every id when some were refused", function()
        local ids = box:ids(250)
        ids[150] = box:ids(1, "missing-")[1]
        box:faults { { fault = "delay", seconds = 0.1 } } -- so that none is left unsent
        local status, out, err = stop({}, table.concat(ids, " "))
        assert.equal(1, status)
        local refused
        for _, request in ipairs(box:requests()) do
            refused = request.status == 404 and request or refused
        end
        local first, rest = err:match "^([^\n]*)\n(.*)$"
        assert.is_truthy(first:find("INVALID_INSTANCE_NOT_FOUND", 1, true), first)
        assert.is_truthy(first:find("HTTP 404", 1, true), first)
        assert.is_truthy(first:find("request " .. refused.request_id, 1, true), first)
        local n, words = 0, {}
        for outcome, id in rest:gmatch "  ([a-z_]+)  ([^\n]+)\n" do
            n = n + 1
            assert.equal(ids[n], id)
            words[math.floor((n - 1) / 100) + 1] = outcome
        end
        assert.equal(250, n)
        assert.equal("rejected", words[2])
        for line in out:gmatch "[^\n]+" do
            assert.is_truthy(request_ids():find(line .. "\n", 1, true), line)
            assert.are_not.equal(refused.request_id, line)
        end
        local _, accepted = table.concat(words, " "):gsub("accepted", "")
        local _, printed = out:gsub("\n", "")
        assert.equal(accepted, printed)
    end)

    it("with one id that was refused prints no request id", function()
        local id = box:ids(1, "missing-")[1]
        local status, out, err = stop { id }
        assert.equal(1, status)
        assert.equal("", out)
        assert.is_truthy(err:find("INVALID_INSTANCE_NOT_FOUND", 1, true), err)
        assert.is_truthy(err:find(box:requests()[1].request_id, 1, true), err)
        assert.is_truthy(err:find("\n  rejected  " .. id .. "\n", 1, true), err)
    end)

    it("with a CA that is not the server's sends nothing", function()
        local ids = box:ids(2)
        process.check {
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", "/CN=another", "-days", "2", "-keyout", directory .. "/key.pem",
            "-out", directory .. "/another.pem",
        }
        local status, out, err = run {
            "--endpoint", box.endpoint, "--ca-file", directory .. "/another.pem",
            table.unpack(ids),
        }
        assert.equal(1, status)
        assert.equal("", out)
        assert.is_truthy(err:find "^stop_instances: zenlayer: TLS_VERIFY_FAILED: ", err)
        for _, id in ipairs(ids) do
            assert.is_truthy(err:find("\n  not_sent  " .. id .. "\n", 1, true), err)
        end
        assert.equal(0, #box:requests())
    end)

    it("with a CA file that is not there sends nothing", function()
        local status, out, err = stop { "--ca-file", directory .. "/none.pem", "a" }
        assert.equal(1, status)
        assert.equal("", out)
        assert.is_truthy(err:find(directory .. "/none.pem", 1, true), err)
        assert.equal(0, #box:requests())
    end)

    it("without credentials says where they belong", function()
        for environment, code in pairs {
            [{}] = "CREDENTIALS_MISSING",
            [{ ZENLAYER_ACCESS_KEY_ID = "half" }] = "CREDENTIALS_INVALID",
        } do
            local status, out, err = stop({ "a" }, nil, environment)
            assert.equal(1, status)
            assert.equal("", out)
            assert.is_truthy(err:find("^stop_instances: zenlayer: " .. code .. ": "), err)
            assert.is_truthy(err:find("ZENLAYER_ACCESS_KEY_SECRET", 1, true), err)
        end
        assert.equal(0, #box:requests())
    end)

    it("goes with a token", function()
        local status, out, err = stop(box:ids(1), nil, { ZENLAYER_TOKEN = sandbox.TOKEN })
        assert.equal(0, status, err)
        assert.equal(request_ids(), out)
    end)

    it("with the wrong key is refused, and does not show it", function()
        local status, out, err = stop({ "a" }, nil, {
            ZENLAYER_ACCESS_KEY_ID = sandbox.KEY_ID, ZENLAYER_ACCESS_KEY_SECRET = "s3cret",
        })
        assert.equal(1, status)
        assert.equal("", out)
        assert.is_truthy(err:find("AUTHFAILURE_", 1, true), err)
        assert.is_nil(err:find("s3cret", 1, true))
    end)

    it("shuts down first and powers off after the grace, with --grace", function()
        local ids = box:ids(2)
        local status, out, err = stop { "--grace", "0.1", table.unpack(ids) }
        assert.equal(0, status, err)
        local stops = {}
        for _, request in ipairs(box:requests()) do
            if request.action == "StopInstances" then
                stops[#stops + 1] = request
            end
        end
        assert.equal(stops[1].request_id .. "\n", out)
        assert.is_false(stops[1].params.forceShutdown)
        assert.is_true(stops[2].params.forceShutdown)
        assert.is_truthy(err:find "2 of 2 STOPPED\n$", err)
    end)

    it("does without the ids that cannot be stopped, with --isolate", function()
        local ids = box:ids(3)
        ids[2] = box:ids(1, "missing-")[1]
        local status, out, err = stop { "--isolate", table.unpack(ids) }
        assert.equal(1, status)
        assert.equal(request_ids(), out)
        assert.is_truthy(err:find("  accepted  " .. ids[1] .. "\n  accepted  " .. ids[3]
            .. "\n  rejected  " .. ids[2] .. "\n", 1, true), err)
    end)

    it("ends at Ctrl-C while it waits", function()
        local command = { "env" }
        for name, value in pairs(KEYS) do
            command[#command + 1] = name .. "=" .. value
        end
        table.move({
            process.lua, "examples/stop_instances.lua", "--endpoint", box.endpoint, "--ca-file",
            box.ca_file, "--wait", box:ids(1, "stuck-")[1],
        }, 1, 8, #command + 1, command)
        local shell = ("echo $$ >%s/pid; exec %s 2>%s/err"):format(directory,
            process.command(command), directory)
        local words = process.command { "sh", "-c", shell }
        local pipe = process.open("exec " .. words)
        process.await(function()
            return lfs.attributes(directory .. "/err")
                and process.read(directory .. "/err"):find("0 of 1 STOPPED\n", 1, true)
        end, "its waiting")
        process.signal(tonumber(process.read(directory .. "/pid"):match "%d+"), "INT")
        local began = os.time()
        local output, status = process.finish(pipe)
        assert.is_true(os.time() - began <= 3)
        assert.equal(1, status)
        assert.equal("", output)
        assert.is_truthy(process.read(directory .. "/err"):find("interrupted!", 1, true))
    end)

    it("refuses bad usage, and shows the good one", function()
        for _, words in ipairs {
            { "--force", "a" }, { "-s", "a" }, { "a", "--endpoint" }, { "--ca-file" }, { "--" },
            { "--graceful" }, {}, { "--wait=yes", "a" }, { "--status", "a" },
            { "--grace", "0", "a" }, { "--grace", "a" },
        } do
            local status, out, err = run(words)
            assert.equal(2, status, table.concat(words, " "))
            assert.equal("", out)
            assert.is_truthy(err:find "^stop_instances: [^\n]+\nusage: stop_instances.lua ", err)
        end
        assert.equal(0, #box:requests())
    end)

    it("helps, without credentials too", function()
        for _, environment in ipairs { KEYS, {} } do
            local status, out, err = run({ "--help", "--nonsense" }, nil, environment)
            assert.equal(0, status)
            assert.equal("", err)
            for _, word in ipairs {
                "usage: ", "--graceful", "--wait", "--grace SECONDS", "--isolate", "--endpoint URL",
                "--ca-file PATH", "--help", "exit status",
            } do
                assert.is_truthy(out:find(word, 1, true), word)
            end
        end
    end)
end)

describe("examples/demo.sh", function()
    -- The processes whose command line names the directory.
    local function processes(directory)
        local found = {}
        for name in lfs.dir "/proc" do
            local file = name:find "^%d+$" and io.open("/proc/" .. name .. "/cmdline")
            local words = file and file:read "*a" or ""
            if file then
                file:close()
            end
            if words:find(directory, 1, true) then
                found[#found + 1] = name .. " " .. words:gsub("%z", " ")
            end
        end
        return found
    end

    it("runs to its end, and leaves nothing behind", function()
        local directory = process.temporary_directory()
        process.check { "mkdir", directory .. "/tmp" }
        local output, status = process.run {
            "env", "-u", "https_proxy", "-u", "HTTPS_PROXY", "-u", "all_proxy", "-u", "ALL_PROXY",
            "-u", "ZENLAYER_TOKEN", "TMPDIR=" .. directory .. "/tmp", "LUA=" .. process.lua,
            "examples/demo.sh",
        }
        local running, left = processes(directory), {}
        for name in lfs.dir(directory .. "/tmp") do
            left[#left + 1] = not name:find "^%.+$" and name or nil
        end
        process.remove(directory)
        assert.equal(0, status, output)
        local _, ids = output:gsub("\nT[%w%-]+", "")
        assert.equal(3, ids, output)
        assert.is_truthy(output:find("\n250 of 250 STOPPED\n", 1, true), output)
        assert.is_truthy(output:find "\n== done[^\n]*\n$", output)
        assert.same({}, running)
        assert.same({}, left)
    end)
end)
