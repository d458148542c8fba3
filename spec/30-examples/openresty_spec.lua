-- examples/openresty in a real nginx, before a sandbox.
local cjson = require "cjson"
local gateway = require "gateway"
local process = require "process"
local sandbox = require "sandbox"

local TOKEN = "a-token-for-this-spec-alone"
local FOLDER = "examples/openresty/"

-- The example's configuration; what differs are the port, whose certificates are trusted, and that
-- there are no names to look up.
local function configuration(ca_file)
    local text = process.read(FOLDER .. "nginx.conf")
    local function replace(pattern, replacement, times)
        local count
        text, count = text:gsub(pattern, replacement)
        assert(count == times, pattern)
    end
    replace("load_module [^\n]*\n", "", 2)
    replace("127%.0%.0%.1:8080;", "127.0.0.1:@PORT@;", 1)
    replace("\n *resolver [^\n]*", "", 1)
    replace("/etc/ssl/certs/ca%-certificates%.crt", (ca_file:gsub("%%", "%%%%")), 1)
    return gateway.load_modules() .. "\n" .. text
end

-- With more environment, and with other numbers in the Lua file: { ["timeout = 10"] = … }.
local function start(box, environment, numbers)
    local env = {
        ZENLAYER_ACCESS_KEY_ID = box.KEY_ID, ZENLAYER_ACCESS_KEY_SECRET = box.PASSWORD,
        ZENLAYER_ENDPOINT = box.endpoint, GATEWAY_TOKEN = TOKEN,
    }
    for name, value in pairs(environment or {}) do
        env[name] = value
    end
    local script = process.read(FOLDER .. "instances.lua")
    for old, new in pairs(numbers or {}) do
        local count
        script, count = script:gsub(old, new)
        assert(count == 1, old)
    end
    return gateway.start {
        conf = configuration(box.ca_file), workers = 2, env = env,
        files = { ["instances.lua"] = script },
    }
end

describe("the gateway of examples/openresty", function()
    local box, front

    setup(function()
        box = sandbox.start()
        front = start(box)
    end)
    teardown(function()
        front:stop()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        front:mark()
    end)
    after_each(function()
        front:check_log()
    end)

    local function decoded(answer)
        assert.equal("application/json", answer.headers["content-type"])
        answer.json = cjson.decode(answer.body)
        return answer
    end

    local function authorized(headers)
        return { Authorization = "Bearer " .. TOKEN, table.unpack(headers or {}) }
    end

    local function stop(ids, query)
        return decoded(front:post("/instances/stop" .. (query or ""), cjson.encode(ids),
            authorized()))
    end

    local function outcomes(answer)
        local found = {}
        for i, batch in ipairs(answer.json.batches) do
            found[i] = batch.outcome
        end
        return found
    end

    it("stops instances", function()
        local ids = box:ids(3)
        local answer = stop(ids)
        local requests = box:requests()
        assert.equal(202, answer.status)
        assert.equal(1, #requests)
        assert.is_true(requests[1].acted)
        assert.same({ forceShutdown = false, instanceIds = ids }, requests[1].params)
        assert.same({
            requestIds = { requests[1].request_id },
            batches = {
                { outcome = "accepted", requestId = requests[1].request_id, instanceIds = ids },
            },
        }, answer.json)
    end)

    it("powers off with force=1 alone", function()
        assert.equal(202, stop(box:ids(1), "?force=1").status)
        assert.equal(202, stop(box:ids(1), "?force=0").status)
        local requests = box:requests()
        assert.is_true(requests[1].params.forceShutdown)
        assert.is_false(requests[2].params.forceShutdown)
    end)

    it("has a request id for each batch", function()
        local answer = stop(box:ids(250))
        assert.equal(202, answer.status)
        assert.equal(3, #answer.json.requestIds)
        local seen, count = {}, 0
        for i, batch in ipairs(answer.json.batches) do
            assert.equal(answer.json.requestIds[i], batch.requestId)
            count = count + #batch.instanceIds
        end
        for _, request in ipairs(box:requests()) do
            seen[request.request_id] = true
        end
        for _, request_id in ipairs(answer.json.requestIds) do
            assert.is_true(seen[request_id])
        end
        assert.equal(250, count)
    end)

    it("keeps its connections", function()
        for _ = 1, 20 do
            assert.equal(202, stop(box:ids(1)).status)
        end
        assert.equal(20, #box:requests())
        assert.is_true(#box:connections() <= 2) -- at most one for each worker
    end)

    it("tells the status", function()
        local ids = box:ids(2)
        assert.equal(202, stop({ ids[1] }).status)
        local path = "/instances/status?id=" .. ids[1] .. "&id=" .. ids[2]
        local answer = decoded(front:get(path, authorized()))
        assert.equal(200, answer.status)
        assert.equal("RUNNING", answer.json[ids[2]])
        assert.is_truthy(answer.json[ids[1]]:find "^STOPP") -- STOPPING, or STOPPED by now
        assert.same({ [ids[2]] = "RUNNING" },
            decoded(front:get("/instances/status?id=" .. ids[2], authorized())).json)
        local all = decoded(front:get("/instances/status", authorized()))
        assert.equal(200, all.status)
        assert.is_truthy(all.json[ids[1]]:find "^STOPP")
        assert.equal("RUNNING", all.json["ins-0010"])
    end)

    it("asks for the token", function()
        local refused = {
            {}, { Authorization = "" }, { Authorization = TOKEN }, { Authorization = "Bearer " },
            { Authorization = "Bearer " .. TOKEN .. "x" },
            { Authorization = "Bearer " .. TOKEN:sub(1, -2) },
            { Authorization = "Bearer " .. TOKEN:sub(1, -2) .. "x" },
            { Authorization = "Bearer x" .. TOKEN:sub(2) },
        }
        for _, headers in ipairs(refused) do
            local ids = cjson.encode(box:ids(1))
            for _, answer in ipairs {
                front:post("/instances/stop", ids, headers),
                front:get("/instances/status", headers),
            } do
                assert.equal(401, decoded(answer).status)
                assert.equal("UNAUTHORIZED", answer.json.code)
                assert.equal("Bearer", answer.headers["www-authenticate"])
            end
        end
        assert.equal(0, #box:requests())
    end)

    it("refuses what it does not understand", function()
        local bodies = { "", "[", "{}", "[]", "3", '"ins-0001"', "null", '{"ids":["ins-0001"]}' }
        for _, body in ipairs(bodies) do
            local answer = decoded(front:post("/instances/stop", body, authorized()))
            assert.equal(400, answer.status, body)
            assert.equal("INVALID_BODY", answer.json.code)
        end
        for _, body in ipairs { "[1]", '["a",null]', '[""]', '[["a"]]' } do
            local answer = decoded(front:post("/instances/stop", body, authorized()))
            assert.equal(400, answer.status, body)
            assert.equal("INVALID_ARGUMENT", answer.json.code, body)
            assert.equal("not_sent", answer.json.outcome)
        end
        assert.equal(405, front:get("/instances/stop", authorized()).status)
        assert.equal(405, front:post("/instances/status", "", authorized()).status)
        assert.equal(404, decoded(front:get("/instances", authorized())).status)
        assert.equal(0, #box:requests())
    end)

    it("answers what was refused", function()
        local answer = stop { "missing-1", "a" }
        assert.equal(404, answer.status)
        assert.equal("INVALID_INSTANCE_NOT_FOUND", answer.json.code)
        assert.equal("rejected", answer.json.outcome)
        assert.same({ "missing-1", "a" }, answer.json.batches[1].instanceIds)
        assert.equal(box:requests()[1].request_id, answer.json.batches[1].requestId)

        answer = stop { "stopped-1" }
        assert.equal(409, answer.status)
        assert.equal("OPERATION_DENIED_INSTANCE_NOT_RUNNING", answer.json.code)
    end)

    it("says which batches were accepted when one was not", function()
        local ids = box:ids(201)
        ids[150] = "missing-150"
        local answer = stop(ids)
        assert.equal(404, answer.status)
        assert.same({ "accepted", "rejected", "accepted" }, outcomes(answer))
        assert.equal("INVALID_INSTANCE_NOT_FOUND", answer.json.batches[2].code)
        assert.is_nil(answer.json.batches[1].code)
    end)

    it("does not blame its caller for its own key", function()
        box:faults { { fault = "status", status = 401, code = "AUTHFAILURE_SIGNATURE_FAILURE" } }
        local answer = stop(box:ids(1))
        assert.equal(502, answer.status)
        assert.equal("AUTHFAILURE_SIGNATURE_FAILURE", answer.json.code)
    end)

    it("passes a rate limit on, with the time to wait", function()
        box:faults { { fault = "rate_limit", retry_after = 60 } }
        local answer = stop(box:ids(1))
        assert.equal(503, answer.status)
        assert.equal("REQUEST_LIMIT_EXCEEDED", answer.json.code)
        assert.equal("rejected", answer.json.outcome)
        local seconds = tonumber(answer.headers["retry-after"])
        assert.is_true(seconds >= 55 and seconds <= 62, seconds)
        -- The pause is that client's, and so that worker's: other specs need a gateway without one.
        front:reload()
    end)

    it("says that nobody knows what became of a stop whose answer was lost", function()
        box:faults { { fault = "reset_after", action = "StopInstances" } }
        local ids = box:ids(2)
        local answer = stop(ids)
        assert.equal(502, answer.status)
        assert.equal("unknown", answer.json.outcome)
        assert.same({ "unknown" }, outcomes(answer))
        assert.same(ids, answer.json.batches[1].instanceIds)
    end)

    it("answers 504 when there is no answer in time", function()
        local hasty = start(box, {}, {
            ["timeout = 10"] = "timeout = " .. 0.5 * process.slowness,
            ["deadline = 25"] = "deadline = " .. process.slowness,
        })
        box:faults { { fault = "delay", seconds = 60, action = "StopInstances" } }
        local answer = decoded(hasty:post("/instances/stop", cjson.encode(box:ids(1)),
            authorized()))
        hasty:stop()
        assert.equal(504, answer.status)
        assert.equal("unknown", answer.json.outcome)
        assert.is_true(answer.seconds < 5 * process.slowness)
    end)

    it("shows no secret in an answer or in its log", function()
        box:faults { { fault = "status", status = 403, code = "UNAUTHORIZED_OPERATION" } }
        local answer = stop(box:ids(1))
        assert.equal(502, answer.status)
        for _, secret in ipairs { box.PASSWORD, TOKEN } do
            assert.is_nil(answer.body:find(secret, 1, true))
            assert.is_nil(front:log():find(secret, 1, true))
        end
        assert.is_truthy(front:log():find("UNAUTHORIZED_OPERATION", 1, true))
    end)
end)

describe("every night the gateway", function()
    local box, front

    before_each(function()
        box = sandbox.start {
            "--instance", "dev-1=RUNNING", "--instance", "dev-2=RUNNING",
            "--instance", "dev-3=STOPPED",
        }
    end)
    after_each(function()
        if front then
            front:stop()
            front = nil
        end
        box:stop()
    end)

    local function stops()
        local found = {}
        for _, request in ipairs(box:requests()) do
            if request.action == "StopInstances" then
                found[#found + 1] = request
            end
        end
        return found
    end

    local function looks()
        return #box:requests() - #stops()
    end

    it("stops what is idle, in one worker alone, and does so again", function()
        front = start(box, { NIGHTLY_TEST_SECONDS = "0.5" })
        process.await(function()
            return looks() >= 3
        end, "three nights")
        local found = stops()
        assert.equal(1, #found)
        table.sort(found[1].params.instanceIds)
        assert.same({ forceShutdown = false, instanceIds = { "dev-1", "dev-2" } },
            found[1].params)
        local log = front:log()
        local _, nights = log:gsub("nightly: 2 idle instances are stopping: ", "")
        assert.equal(1, nights)
        assert.is_truthy(log:find("nightly: no instance is idle", 1, true))
        local workers, count = {}, 0
        for pid in log:gmatch "%] (%d+)#[^\n]*nightly: " do
            count = count + (workers[pid] and 0 or 1)
            workers[pid] = true
        end
        assert.equal(1, count)
    end)

    it("goes on after a night that failed, and after a reload", function()
        local refusal = { fault = "status", status = 403, code = "UNAUTHORIZED_OPERATION" }
        refusal.times = 1
        box:faults { refusal }
        front = start(box, { NIGHTLY_TEST_SECONDS = "0.5" })
        process.await(function()
            return #stops() == 1
        end, "the next night")
        front:check_log { "nightly: no statuses: .*UNAUTHORIZED_OPERATION" }
        front:reload()
        front:mark()
        box:mark()
        process.await(function()
            return looks() >= 2
        end, "a night after the reload")
        process.sleep(0.1)
        front:check_log()
    end)

    -- The seconds to the first night, as the script computes them at this time.
    local function seconds_until(hour, now)
        local seconds
        local modules = {
            bit = {}, ["cjson.safe"] = cjson,
            ["resty.zenlayer"] = { new = function() return {} end },
        }
        local environment = setmetatable({
            require = function(name) return assert(modules[name], name) end,
            os = {
                date = os.date, time = os.time,
                getenv = function(name)
                    return ({ GATEWAY_TOKEN = TOKEN, NIGHTLY_HOUR = tostring(hour) })[name]
                end,
            },
            ngx = {
                time = function() return now end,
                worker = { id = function() return 0 end },
                timer = { at = function(given) seconds = given return true end },
            },
        }, { __index = _G })
        local path = FOLDER .. "instances.lua"
        assert(load(process.read(path), "@" .. path, "t", environment))().start_nightly()
        return seconds
    end

    it("begins at its hour, on the next day if that has passed", function()
        local days = {
            { year = 2026, month = 1, day = 31 }, { year = 2026, month = 12, day = 31 },
            { year = 2028, month = 2, day = 28 }, { year = 2026, month = 3, day = 29 },
        }
        for _, day in ipairs(days) do
            for hour = 0, 23 do
                day.hour, day.min, day.sec = hour, 59, 59
                local now = os.time(day)
                for _, wanted in ipairs { 0, 4, 12, 23 } do
                    local seconds = seconds_until(wanted, now)
                    assert.is_true(seconds > 0 and seconds <= 25 * 3600)
                    assert.equal(("%02d:00:00"):format(wanted), os.date("%T", now + seconds))
                end
            end
        end
        local now = os.time { year = 2026, month = 5, day = 5, hour = 3, min = 0, sec = 0 }
        assert.equal(24 * 3600, seconds_until(3, now))
        assert.equal(1, seconds_until(3, now - 1))
    end)

    it("does nothing when no hour is set, or before it", function()
        local later = tostring((os.date("*t").hour + 12) % 24)
        for _, environment in ipairs { {}, { NIGHTLY_HOUR = later } } do
            front = start(box, environment)
            process.sleep(0.5)
            front:stop() -- with a timer that waits for half a day
            front = nil
        end
        assert.equal(0, #box:requests())
    end)
end)

describe("the gateway does not start", function()
    it("without a token, or with a short one", function()
        local box = sandbox.start()
        for _, token in ipairs { "", "short" } do
            local ok, err = pcall(start, box, { GATEWAY_TOKEN = token })
            assert.is_false(ok)
            assert.is_truthy(err:find("GATEWAY_TOKEN is not set", 1, true), err)
        end
        box:stop()
    end)
end)

describe("demo.sh", function()
    it("shows the gateway at work", function()
        -- With AddressSanitizer's library preloaded curl hangs; it is not what is tested.
        local folder = process.temporary_directory()
        local curl = process.check { "sh", "-c", "command -v curl" }
        process.write(folder .. "/curl", "#!/bin/sh\nexec env -u LD_PRELOAD " ..
            process.quote(curl:gsub("\n$", "")) .. ' "$@"\n')
        process.check { "chmod", "+x", folder .. "/curl" }
        local output, status = process.run {
            "env", "BUILD=" .. gateway.build(), "PATH=" .. folder .. ":" .. os.getenv "PATH",
            FOLDER .. "demo.sh",
        }
        process.remove(folder)
        assert.equal(0, status, output)
        local seen = {}
        for code in output:gmatch "\nHTTP (%d+)\n" do
            seen[#seen + 1] = code
        end
        assert.same({ "202", "401", "404", "200", "200" }, seen)
        assert.is_truthy(output:find('"ins-0002":"STOPPED"', 1, true), output)
        assert.is_truthy(output:find("nightly: 2 idle instances are stopping", 1, true), output)
    end)
end)
