-- Every code that the API documents, and those of nobody's list, come through as they are.
local cjson = require "cjson"
local closing = require "every_lua".closing
local expect = require "expect"
local sandbox = require "sandbox"
local system = require "system"
local zenlayer = require "zenlayer"

local ABSENT = expect.ABSENT

-- What the API's reference pages list. { HTTP status, code }
local REFUSALS = {
    { 404, "INVALID_INSTANCE_NOT_FOUND" },
    { 403, "OPERATION_DENIED_INSTANCE_RECYCLED" },
    { 401, "AUTHFAILURE_SIGNATURE_FAILURE" },
    { 401, "AUTHFAILURE_SIGNATURE_EXPIRED" },
    { 401, "AUTHFAILURE_INVALID_AUTHORIZATION" },
    { 403, "AUTHFAILURE_UNAUTHORIZED_OPERATION" },
    { 400, "MISSING_PARAMETER" },
    { 400, "INVALID_PARAMETER_TYPE" },
    { 400, "INVALID_PARAMETER_VALUE" },
    { 400, "INVALID_PARAMETER_EXCEED_LENGTH" },
    { 400, "INVALID_PARAMETER_LESS_LENGTH" },
    { 400, "INVALID_PARAMETER_EXCEED_MAXIMUM" },
    { 400, "INVALID_PARAMETER_LESS_MINIMUM" },
    { 400, "INVALID_PARAMETER_PATTERN_ERROR" },
    { 400, "INVALID_PARAMETER_DATE_FORMAT_ERROR" },
    { 404, "OPERATION_FAILED_RESOURCE_NOT_FOUND" },
    { 403, "OPERATION_FAILED_FOR_RECYCLE_RESOURCE" },
    { 404, "OPERATION_FAILED_RESOURCE_GROUP_NOT_FOUND" },
    -- and what no page lists yet
    { 409, "SOMETHING_NEW_FROM_NEXT_YEAR" },
    { 422, "lower.case-and \"odd\"" },
    { 499, "X" },
}
local FAILURES = {
    { 500, "INTERNAL_SERVER_ERROR" },
    { 503, "SERVICE_TEMPORARY_UNAVAILABLE" },
    { 504, "REQUEST_TIMED_OUT" },
    { 599, "SOMETHING_NEW_FROM_NEXT_YEAR" },
}

describe("the API's codes", function()
    local box, client

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
        client = box:client { max_attempts = 1 }
    end)
    after_each(function()
        client:close()
    end)

    -- The error against what the journal says was sent.
    local function check(err, expected)
        local requests = box:requests()
        assert.equal(1, #requests)
        assert.equal(requests[1].code, err.code)
        assert.equal(requests[1].request_id, err.request_id)
        assert.equal(requests[1].status, err.http_status)
        assert.equal(requests[1].action, err.action)
        assert.truthy(err.request_id:find "^T%x+%-")
        for name, value in pairs(expected) do
            assert.equal(value, err[name])
        end
        assert.equal(1, err.attempts)
        assert.is_nil(err.where)
        assert.is_nil(err.retry_after)
    end

    for _, row in ipairs(REFUSALS) do
        local status, code = row[1], row[2]
        it(("%d %s is a refusal"):format(status, code), function()
            local message = "message of " .. code .. ", word for word: \226\130\172 \"'\\"
            box:faults { { fault = "status", status = status, code = code, message = message } }
            local ids = box:ids(1)
            local err = expect.failure({}, client:stop_instances(ids))
            check(err, {
                kind = "api", code = code, message = message, http_status = status,
                outcome = "rejected", retryable = false, action = "StopInstances",
            })
            assert.equal(1, #err.batches)
            assert.same(ids, err.batches[1].instance_ids)
            assert.equal("rejected", err.batches[1].outcome)
            assert.equal(err.request_id, err.batches[1].request_id)
            assert.equal(code, err.batches[1].error.code)
        end)
    end

    for _, row in ipairs(FAILURES) do
        local status, code = row[1], row[2]
        it(("%d %s may have been done"):format(status, code), function()
            box:faults { { fault = "status", status = status, code = code, message = "m" } }
            local err = expect.failure({}, client:stop_instances(box:ids(1)))
            check(err, {
                kind = "api", code = code, message = "m", http_status = status,
                outcome = "unknown", retryable = true, action = "StopInstances",
            })
        end)

        it(("%d %s of an unsafe call is not for trying again"):format(status, code), function()
            box:faults { { fault = "status", status = status, code = code, message = "m" } }
            local err = expect.failure({}, client:call("Echo"))
            check(err, { kind = "api", outcome = "unknown", retryable = false, action = "Echo" })
            assert.is_nil(err.batches)
        end)
    end

    it("429 REQUEST_LIMIT_EXCEEDED was not done, and may be tried again", function()
        box:faults { { fault = "rate_limit" } }
        local err = expect.failure({}, client:call("Echo"))
        assert.equal("too many requests", err.message)
        check(err, {
            kind = "api", code = "REQUEST_LIMIT_EXCEEDED", http_status = 429, outcome = "rejected",
            retryable = true, action = "Echo",
        })
    end)

    it("200 with a code may have been done, whatever the code says", function()
        for _, code in ipairs { "INVALID_INSTANCE_NOT_FOUND", "INTERNAL_SERVER_ERROR" } do
            box:faults { { fault = "status", status = 200, code = code, message = "odd" } }
            local err = expect.failure({}, client:stop_instances(box:ids(1)))
            check(err, {
                kind = "api", code = code, message = "odd", http_status = 200, outcome = "unknown",
                retryable = false,
            })
        end
    end)

    it("an error without message or requestId is one all the same", function()
        box:faults { { fault = "status", status = 404, body = { code = "NAKED" } } }
        local err = expect.failure({
            kind = "api", code = "NAKED", message = "", request_id = ABSENT, http_status = 404,
            outcome = "rejected",
        }, client:stop_instances(box:ids(1)))
        assert.truthy(tostring(err):find("NAKED", 1, true))
    end)
end)

describe("the sandbox's own refusals", function()
    local box

    setup(function()
        box = sandbox.start()
    end)
    teardown(function()
        box:stop()
    end)
    before_each(function()
        box:faults {}
    end)

    local function refused(expected, client, ids)
        local err = expect.failure(expected, client:stop_instances(ids or box:ids(1)))
        local requests = box:requests()
        local last = requests[#requests]
        assert.equal(last.request_id, err.request_id)
        assert.equal(last.code, err.code)
        assert.equal("api", err.kind)
        assert.equal("rejected", err.outcome)
        assert.is_false(last.acted)
        client:close()
        return err, requests
    end

    it("an id that there is not", function()
        local ids = box:ids(1, "missing-")
        local err = refused({
            code = "INVALID_INSTANCE_NOT_FOUND", http_status = 404, attempts = 1, retryable = false,
            message = "there is no instance " .. ids[1],
        }, box:client(), ids)
        assert.same(ids, err.batches[1].instance_ids)
    end)

    it("one bad id refuses its whole batch", function()
        local ids = box:ids(3)
        ids[2] = box:ids(1, "missing-")[1]
        local err, requests = refused({ code = "INVALID_INSTANCE_NOT_FOUND" }, box:client(), ids)
        assert.same(ids, err.batches[1].instance_ids)
        assert.same({}, requests[1].acted_ids)
    end)

    it("an instance in the recycle bin", function()
        refused({
            code = "OPERATION_DENIED_INSTANCE_RECYCLED", http_status = 403, attempts = 1,
        }, box:client(), box:ids(1, "recycled-"))
    end)

    it("an instance that is not running", function()
        refused({
            code = "OPERATION_DENIED_INSTANCE_NOT_RUNNING", http_status = 403, attempts = 1,
        }, box:client(), box:ids(1, "stopped-"))
    end)

    it("a wrong password", function()
        local client = box:client {
            access_key_id = sandbox.KEY_ID, access_key_password = "an0ther-pa55word",
        }
        local err = refused({
            code = "AUTHFAILURE_SIGNATURE_FAILURE", http_status = 401, attempts = 1,
            retryable = false,
        }, client)
        assert.is_nil(tostring(err):find("an0ther-pa55word", 1, true))
    end)

    it("an unknown key", function()
        local client = box:client { access_key_id = "NOBODY", access_key_password = "secret" }
        refused({
            code = "AUTHFAILURE_INVALID_AUTHORIZATION", http_status = 401, attempts = 1,
        }, client)
    end)

    it("a wrong token", function()
        local err = refused({
            code = "AUTHFAILURE_INVALID_AUTHORIZATION", http_status = 401, attempts = 1,
        }, box:client { token = "not-this-token" })
        assert.is_nil(tostring(err):find("not-this-token", 1, true))
    end)

    it("a parameter of the wrong type", function()
        local client = closing(box:client())
        expect.failure({
            kind = "api", code = "INVALID_PARAMETER_TYPE", http_status = 400, outcome = "rejected",
            action = "DescribeInstances", attempts = 1,
        }, client:call("DescribeInstances", { pageSize = "ten" }))
    end)

    it("an action and a version that there are not", function()
        local client = closing(box:client())
        expect.failure({ code = "INVALID_PARAMETER_VALUE", http_status = 404 },
            client:call("LaunchRockets"))
        expect.failure({ code = "INVALID_PARAMETER_VALUE", http_status = 400 },
            client:call("Echo", {}, { api_version = "1999-01-01" }))
    end)

    it("an expired timestamp, where no clock can be corrected", function()
        -- Without a Date in the answer nothing is known of the server's clock.
        box:faults { { fault = "clock", offset = 3600, headers = { Date = cjson.null } } }
        local err, requests = refused({
            code = "AUTHFAILURE_SIGNATURE_EXPIRED", http_status = 401, attempts = 1,
        }, box:client())
        assert.equal(1, #requests)
        assert.equal("rejected", err.outcome)
    end)

    it("the right pair and the right token are let in, and nothing secret is on record", function()
        local by_pair = closing(box:client())
        local by_token = closing(box:client { token = sandbox.TOKEN })
        local before = math.floor(system.gettime())
        for _, client in ipairs { by_pair, by_token } do
            local request_ids, batches = expect.success(client:stop_instances(box:ids(2)))
            assert.equal(1, #request_ids)
            assert.equal("accepted", batches[1].outcome)
        end
        local requests = box:requests()
        assert.equal("key", requests[1].auth)
        assert.equal("content-type;host", requests[1].signed_headers)
        assert.equal("ZC2-HMAC-SHA256", requests[1].headers["x-zc-signature-method"])
        assert.equal("token", requests[2].auth)
        assert.is_nil(requests[2].headers["x-zc-signature-method"])
        for _, request in ipairs(requests) do
            assert.is_true(request.verified)
            assert.equal("application/json; charset=utf-8", request.content_type)
            assert.equal("StopInstances", request.headers["x-zc-action"])
            assert.equal("2026-04-01", request.headers["x-zc-version"])
            assert.equal("vm", request.headers["x-zc-service"])
            assert.equal("lua", request.headers["x-zc-sdk-lang"])
            assert.equal(zenlayer._VERSION, request.headers["x-zc-sdk-version"])
            assert.is_true(tonumber(request.timestamp) >= before)
            assert.equal("127.0.0.1:" .. box.port, request.host)
        end
    end)

    it("zenlayer raises what zenlayer.safe returns", function()
        local client = closing(box:raising_client())
        local ok, err = pcall(client.stop_instances, client, box:ids(1, "missing-"))
        assert.is_false(ok)
        expect.failure({ code = "INVALID_INSTANCE_NOT_FOUND", outcome = "rejected" }, nil, err)
        local request_ids = client:stop_instances(box:ids(1))
        assert.equal(1, #request_ids)
    end)
end)
