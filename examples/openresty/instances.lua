-- What the gateway of nginx.conf does. Loaded once in each worker.
local bit = require "bit"
local json = require "cjson.safe"
local zenlayer = require "resty.zenlayer"

local instances = {}

-- Edit this: which instances are stopped at night. As it stands: those that run and whose id begins
-- with dev-. (Real ids tell nothing; look them up in a list of yours, or ask what they do.)
local function is_idle(id, status)
    return status == "RUNNING" and id:find("^dev%-") ~= nil
end

-- The key is ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET of the environment. The caller
-- gets a whole answer within 30 seconds, which is what most of them wait for.
local client, failure = zenlayer.new {
    endpoint = os.getenv "ZENLAYER_ENDPOINT",
    timeout = 10,
    deadline = 25,
}
if not client then
    error(tostring(failure), 0)
end

--- answers ---------------------------------------------------------------------------------------

local function answer(status, body)
    ngx.status = status
    ngx.header.content_type = "application/json"
    ngx.print(json.encode(body), "\n")
    return ngx.exit(ngx.HTTP_OK) -- the status is the one above
end

local function refuse(status, code, message)
    return answer(status, { code = code, message = message })
end

-- The HTTP status for an error of the client.
local function status_of(err)
    local code = err.code
    if err.kind == "argument" then
        return 400
    elseif code == "REQUEST_LIMIT_EXCEEDED" then
        return 503 -- it is this gateway that asks too often, not its caller
    elseif err.kind == "timeout" then
        return 504
    elseif err.kind == "api" and err.outcome == "rejected" then
        if err.http_status == 404 then
            return 404
        elseif code:find "^OPERATION_DENIED" then
            return 409 -- an instance is not in a state for that
        elseif err.http_status == 400 then
            return 400
        end
    end
    return 502 -- Zenlayer is out of reach, failed, or does not want this gateway's key
end

-- What became of every id.
local function account(batches)
    local list = {}
    for i, batch in ipairs(batches or {}) do
        list[i] = {
            outcome = batch.outcome,
            requestId = batch.request_id,
            instanceIds = batch.instance_ids,
            code = batch.error and batch.error.code,
        }
    end
    return list[1] and list
end

local function answer_error(err)
    local status = status_of(err)
    if status >= 500 then
        ngx.log(ngx.WARN, tostring(err))
    end
    if status == 503 then
        ngx.header.retry_after = math.ceil(err.retry_after or 1)
    end
    return answer(status, {
        code = err.code,
        message = err.message,
        outcome = err.outcome, -- not_sent, rejected, or unknown: it may have been done
        batches = account(err.batches),
    })
end

--- requests --------------------------------------------------------------------------------------

-- Takes as long for a wrong first byte as for a wrong last one: timing does not tell the token.
local function equal(given, wanted)
    local difference = bit.bxor(#given, #wanted)
    for i = 1, #wanted do
        difference = bit.bor(difference, bit.bxor(given:byte(i) or 0, wanted:byte(i)))
    end
    return difference == 0
end

local expected = "Bearer " .. os.getenv "GATEWAY_TOKEN"

function instances.check_token()
    if not equal(ngx.var.http_authorization or "", expected) then
        ngx.header.www_authenticate = "Bearer"
        return refuse(401, "UNAUTHORIZED", "the token is missing or wrong")
    end
end

local function only(method)
    if ngx.req.get_method() ~= method then
        ngx.header.allow = method
        return refuse(405, "METHOD_NOT_ALLOWED", "the method here is " .. method)
    end
end

-- POST /instances/stop, a JSON list of ids. Shuts the guests down in order; ?force=1 powers them
-- off. The answer comes when Zenlayer has accepted the stop, not when all are STOPPED.
function instances.stop()
    only "POST"
    ngx.req.read_body()
    local ids = json.decode(ngx.req.get_body_data() or "")
    if type(ids) ~= "table" or #ids == 0 then
        return refuse(400, "INVALID_BODY", "the body is to be a JSON list of ids")
    end
    local request_ids, batches = client:stop_instances(ids, {
        force_shutdown = ngx.var.arg_force == "1",
        on_error = "continue",
    })
    if not request_ids then
        return answer_error(batches) -- the second one is the error then
    end
    return answer(202, { requestIds = request_ids, batches = account(batches) })
end

-- GET /instances/status?id=a&id=b: { "a": "RUNNING", … }; without ids: of all instances.
function instances.status()
    only "GET"
    local ids = ngx.req.get_uri_args(0).id
    if type(ids) ~= "table" then
        ids = ids and { ids }
    end
    local statuses, err = client:describe_instances_status(ids)
    if not statuses then
        return answer_error(err)
    end
    return answer(200, statuses)
end

--- every night -----------------------------------------------------------------------------------

local function stop_idle()
    local statuses, err = client:describe_instances_status()
    if not statuses then
        return ngx.log(ngx.ERR, "nightly: no statuses: ", tostring(err))
    end
    local ids = {}
    for id, status in pairs(statuses) do
        if is_idle(id, status) then
            ids[#ids + 1] = id
        end
    end
    if #ids == 0 then
        return ngx.log(ngx.NOTICE, "nightly: no instance is idle")
    end
    -- One that somebody stopped meanwhile does not keep the others running.
    local request_ids
    request_ids, err = client:stop_instances(ids, {
        force_shutdown = false, on_error = "continue", isolate = true,
    })
    if not request_ids then
        return ngx.log(ngx.ERR, "nightly: not all were stopped: ", tostring(err))
    end
    return ngx.log(ngx.NOTICE, "nightly: ", #ids, " idle instances are stopping: ",
        table.concat(ids, " ", 1, math.min(#ids, 20)))
end

local function seconds_until(hour)
    local now = ngx.time()
    local at = os.date("*t", now)
    if at.hour >= hour then
        at.day = at.day + 1 -- os.time knows how long a month is
    end
    at.hour, at.min, at.sec, at.isdst = hour, 0, 0, nil
    return os.time(at) - now
end

local function schedule()
    local hour = tonumber(os.getenv "NIGHTLY_HOUR")
    local seconds = tonumber(os.getenv "NIGHTLY_TEST_SECONDS") or hour and seconds_until(hour)
    local function run(premature)
        if premature then -- this worker ends; after a reload the next one has a timer of its own
            return
        end
        local ok, err = pcall(stop_idle)
        if not ok then
            ngx.log(ngx.ERR, "nightly: ", tostring(err))
        end
        schedule()
    end
    if seconds then
        assert(ngx.timer.at(seconds, run))
    end
end

-- In one worker only, or each would do it.
function instances.start_nightly()
    if ngx.worker.id() == 0 then
        schedule()
    end
end

return instances
