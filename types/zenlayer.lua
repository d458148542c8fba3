---@meta zenlayer
--- Annotations for editors (LuaLS): the surface of `zenlayer`; the files beside it are for
--- `zenlayer.safe`, `zenlayer.core` and `resty.zenlayer`. Put this folder into the editor's
--- workspace library. Nothing here runs.

---@alias zenlayer.Kind "argument"|"credentials"|"network"|"timeout"|"api"|"protocol"|"blocked"|"cancelled"|"state"
---@alias zenlayer.Outcome "not_sent"|"rejected"|"unknown"
---@alias zenlayer.BatchOutcome "accepted"|zenlayer.Outcome
---@alias zenlayer.Code string # the API's own, or one of zenlayer.OwnCode
---@alias zenlayer.OwnCode
---| "INVALID_ARGUMENT"
---| "UNKNOWN_OPTION"
---| "UNKNOWN_METHOD"
---| "CLIENT_CLOSED"
---| "WRONG_PHASE"
---| "NOT_CONFIGURED"
---| "CREDENTIALS_MISSING"
---| "CREDENTIALS_INVALID"
---| "CREDENTIALS_UNAVAILABLE"
---| "REQUEST_LIMIT_EXCEEDED"
---| "PARTIAL_FAILURE"
---| "BAD_RESPONSE"
---| "UNEXPECTED_STATUS"
---| "RESPONSE_TOO_LARGE"
---| "SECURITY_CHALLENGE"
---| "REQUEST_BLOCKED"
---| "RESOLVE_FAILED"
---| "CONNECT_FAILED"
---| "TLS_FAILED"
---| "TLS_VERIFY_FAILED"
---| "PROXY_FAILED"
---| "CONNECTION_LOST"
---| "CONNECT_TIMEOUT"
---| "TIMEOUT"
---| "DEADLINE_EXCEEDED"
---| "WAIT_TIMEOUT"
---| "UNEXPECTED_STATE"
---| "CANCELLED"

--- What is raised. `tostring` gives one line for a log.
---@class zenlayer.Error
---@field kind zenlayer.Kind
---@field code zenlayer.Code
---@field message string for people; the API's, word for word
---@field hint? string what usually causes it, and what helps
---@field outcome zenlayer.Outcome what became of it
---@field where? string the argument that is wrong: "instance_ids[3]", "options.timeout"
---@field request_id? string
---@field http_status? integer
---@field action? string
---@field attempts? integer requests that were made, or tried
---@field retryable boolean whether the same call may succeed later
---@field retry_after? integer seconds to wait before that
---@field statuses? table<string, string> of a waiting: the last status of each id
---@field failed_ids? string[] of a waiting: the ids that will not become STOPPED
---@field batches? zenlayer.Batch[] for a call with ids: every id is in exactly one of them

---@class zenlayer.Batch
---@field outcome zenlayer.BatchOutcome
---@field instance_ids string[]
---@field attempts integer
---@field request_id? string absent if the answer that had it was lost
---@field response? table the answer's `response`
---@field failed_ids? string[] accepted, but for these (service zec)
---@field error? zenlayer.Error
---@field forced? zenlayer.Batch[] after a grace: the forced stops of ids of this batch
---@field confirmed_by? "status" the answer was lost, and the status of the instances settled it

---@class zenlayer.Options
---@field access_key_id? string
---@field access_key_password? string
---@field token? string a Bearer token in place of the key pair
---@field profile? string a profile of the official command line's files, in their place
---@field credentials? fun(): zenlayer.Credentials?, string? called when they are needed, and again
---@field endpoint? string "https://console.zenlayer.com"; http for loopback addresses alone
---@field connect_to? string "host[:port]": dial this, verify and sign the endpoint's name
---@field service? string "vm"
---@field api_version? string the service's default; another service than vm, bmc, zec needs one
---@field connect_timeout? number seconds, 5: one connection
---@field timeout? number seconds, 30: one attempt
---@field deadline? number seconds, 120: one operation without its waiting for STOPPED
---@field max_attempts? integer 4: requests for one call, of all kinds
---@field max_concurrency? integer 8: requests in flight, per client
---@field max_response_bytes? integer 8388608
---@field ca_file? string trust these certificates instead of the system's (not in resty.zenlayer)
---@field ca_path? string the same, a directory (not in resty.zenlayer)
---@field proxy? string|false replaces the environment's; false: none
---@field user_agent? string
---@field on_event? fun(event: zenlayer.Event) told what happens
---@field allow_blocking? boolean block inside nginx all the same (not in resty.zenlayer)

--- What a credentials function returns: a key pair or a token.
---@class zenlayer.Credentials
---@field access_key_id? string
---@field access_key_password? string
---@field token? string
---@field expires_at? number UNIX seconds; not given: for ever

---@class zenlayer.Event
---@field event zenlayer.EventName
---@field time number UNIX seconds
---@field operation? integer its number in the client
---@field call? integer the number of its call in the operation
---@field action? string
---@field attempt? integer from 1; of retried the one to come
---@field attempts? integer of batch_settled
---@field instances? integer ids that it is about
---@field http_status? integer
---@field code? string of the error; of retried and paused why
---@field request_id? string
---@field outcome? zenlayer.BatchOutcome
---@field duration? number seconds
---@field delay? number seconds
---@field offset? integer seconds, of clock_corrected: what is added to this machine's clock
---@field address? string of connection_opened

---@alias zenlayer.EventName
---| '"attempt_started"'
---| '"answered"'
---| '"failed"'
---| '"retried"'
---| '"paused"'
---| '"clock_corrected"'
---| '"credentials_renewed"'
---| '"connection_opened"'
---| '"batch_settled"'

---@class zenlayer.CallOptions
---@field service? string
---@field api_version? string
---@field timeout? number seconds, one attempt
---@field deadline? number seconds, this operation
---@field max_attempts? integer
---@field idempotent? boolean doing it twice does no harm: it may be sent again when in doubt

---@class zenlayer.StatusOptions
---@field service? string
---@field api_version? string
---@field timeout? number seconds, one attempt
---@field deadline? number seconds, this operation
---@field max_attempts? integer

---@class zenlayer.Progress
---@field stopped integer
---@field pending integer
---@field failed integer
---@field statuses table<string, string>

---@class zenlayer.WaitOptions
---@field service? string
---@field api_version? string
---@field timeout? number seconds, one attempt
---@field max_attempts? integer
---@field wait_timeout? number seconds, 600
---@field wait_min_delay? number seconds, 2: between two rounds of looks
---@field wait_max_delay? number seconds, 15
---@field on_progress? fun(progress: zenlayer.Progress) called after each round

---@class zenlayer.StopOptions
---@field service? string
---@field api_version? string
---@field timeout? number seconds, one attempt
---@field deadline? number seconds, the stop without its waiting
---@field max_attempts? integer
---@field force_shutdown? boolean false: shut the guest down; true or not given: hard power-off
---@field on_error? "stop"|"continue" after a batch failed: begin no further one, or all the same
---@field isolate? boolean find the ids for which a batch is refused, stop the rest
---@field wait? boolean return when all are STOPPED
---@field grace? number seconds: shut down first, stop with force what is not STOPPED then
---@field wait_timeout? number seconds, 600
---@field wait_min_delay? number seconds, 2
---@field wait_max_delay? number seconds, 15
---@field on_progress? fun(progress: zenlayer.Progress)

---@class zenlayer.SignOptions
---@field access_key_id string
---@field access_key_password string
---@field host string signed as given
---@field body string
---@field timestamp integer UNIX seconds
---@field content_type? string
---@field action? string
---@field api_version? string

---@class zenlayer.Client
local client = {}

--- Stop instances, any number of them, in batches of 100.
---@param ids string[]
---@param options? zenlayer.StopOptions
---@return (string|false)[] request_ids one a batch; false where the answer that had it was lost
---@return zenlayer.Batch[] batches
function client:stop_instances(ids, options) end

--- The status of instances; without ids of all, every page.
---@param ids? string[]
---@param options? zenlayer.StatusOptions
---@return table<string, string> statuses an id that does not exist is absent
function client:describe_instances_status(ids, options) end

--- Wait until all are STOPPED.
---@param ids string[]
---@param options? zenlayer.WaitOptions
---@return table<string, string> statuses
function client:wait_until_stopped(ids, options) end

--- Any action of the API.
---@param action string
---@param params? table
---@param options? zenlayer.CallOptions
---@return table response
---@return string request_id
function client:call(action, params, options) end

--- Every page of a `Describe…` action, one call each: an iterator of response, request_id. In
--- `zenlayer.safe` and `resty.zenlayer` it gives false, err for a page that failed, and then ends.
---@param action string
---@param params? table pageNum (1) is where it begins; pageSize (100)
---@param options? zenlayer.CallOptions of each call
---@return fun(): table|false|nil, string|zenlayer.Error|nil iterator
function client:pages(action, params, options) end

---@param ids string[]
---@param options? zenlayer.StopOptions
---@return zenlayer.Job
function client:submit_stop_instances(ids, options) end

---@param ids string[]
---@param options? zenlayer.WaitOptions
---@return zenlayer.Job
function client:submit_wait_until_stopped(ids, options) end

---@param action string
---@param params? table
---@param options? zenlayer.CallOptions
---@return zenlayer.Job
function client:submit_call(action, params, options) end

--- Move every job on.
---@param seconds? number wait at most that long (0)
---@return integer unfinished jobs that are not done
function client:poll(seconds) end

--- What a loop of one's own is to watch.
---@return { [1]: integer, [2]: "r"|"w"|"rw" }[]
function client:sockets() end

---@return number? seconds until poll wants to be called though no socket is ready
function client:next_timeout() end

--- Load the certificates and open a connection now.
---@return true
function client:connect() end

--- End what is under way, close the connections.
function client:close() end

---@param ids string[]
---@param options? zenlayer.StopOptions
---@return zenlayer.Operation
function client:prepare_stop_instances(ids, options) end

---@param ids? string[]
---@param options? zenlayer.StatusOptions
---@return zenlayer.Operation
function client:prepare_describe_instances_status(ids, options) end

---@param ids string[]
---@param options? zenlayer.WaitOptions
---@return zenlayer.Operation
function client:prepare_wait_until_stopped(ids, options) end

---@param action string
---@param params? table
---@param options? zenlayer.CallOptions
---@return zenlayer.Operation
function client:prepare(action, params, options) end

---@class zenlayer.Job
local job = {}

---@return boolean
function job:done() end

--- What the blocking method returns, or raises; nil before the end.
---@return any ...
function job:result() end

---@param seconds? number without: until it is done
---@return boolean done
function job:wait(seconds) end

---@return boolean cancelled whether there was something to cancel
function job:cancel() end

---@alias zenlayer.Step "send"|"wait"|"pending"|"done"|"credentials" # the last: of zenlayer.core

--- An operation whose bytes somebody else moves.
---@class zenlayer.Operation
local operation = {}

---@class zenlayer.Request
---@field url string
---@field method "POST"
---@field headers table<string, string>
---@field body string
---@field timeout number seconds that this attempt may take

---@return zenlayer.Step what
---@return integer|number|nil n the number of the call; or the seconds
---@return zenlayer.Request? request
function operation:step() end

---@return zenlayer.Step what
---@return integer|number|nil n
---@return string? bytes the request as the bytes of HTTP/1.1
---@return number? timeout seconds
---@return number? over when that is over, by zenlayer.core's monotonic
---@return boolean? alone whether nothing else is to be done before a report on it
function operation:step_http() end

---@param n integer
---@param status integer
---@param headers? table<string, string|string[]>|string
---@param body? string
---@return boolean counted
---@return boolean done whether the operation is
function operation:reply(n, status, headers, body) end

---@param n integer
---@param message string
---@param sent boolean false only if not one byte of the request left
---@param code? zenlayer.OwnCode
---@return boolean counted
---@return boolean done
function operation:failed(n, message, sent, code) end

---@param message? string
---@return boolean cancelled
function operation:cancel(message) end

---@return any ...
function operation:result() end

---@class zenlayer
---@field null lightuserdata JSON's null, cjson.null
---@field empty_array userdata JSON's []
---@field _VERSION string
local zenlayer = {}

---@param options? zenlayer.Options
---@return zenlayer.Client
function zenlayer.new(options) end

--- The headers that sign a request. Pure: no clock, nothing sent.
---@param options zenlayer.SignOptions
---@return table<string, string> headers
function zenlayer.sign(options) end

---@param value any
---@return boolean
function zenlayer.is_error(value) end

---@return { zenlayer: string, lua: string, libcurl: string, openssl: string, cjson: string }
function zenlayer.versions() end

return zenlayer
