---@meta zenlayer.core
--- The module without libcurl, for drivers: its clients prepare operations, and carry none out.

---@class zenlayer.core.Settings
---@field endpoint string
---@field connect_to? string
---@field proxy? string its password is in it
---@field connect_timeout number seconds
---@field max_response_bytes integer
---@field max_concurrency integer

---@class zenlayer.core.Pages
local pages = {}

---@return zenlayer.Operation? operation of the next page; nil at the end
function pages:prepare() end

---@param response? table the operation's result; nil: it failed
function pages:take(response) end

---@class zenlayer.core.Client
local client = {}

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

---@param action string
---@param params? table
---@param options? zenlayer.CallOptions
---@return zenlayer.core.Pages
function client:prepare_pages(action, params, options) end

--- What a driver has to know.
---@return zenlayer.core.Settings
function client:settings() end

--- After the step "credentials": what pcall of the credentials function returned.
---@param ok boolean
---@param ... any
function client:take_credentials(ok, ...) end

--- Tell on_event of a connection.
---@param seconds number
---@param address string
function client:tell_opened(seconds, address) end

--- Raise WRONG_PHASE, for a driver that may not begin.
---@param message string
function client:wrong_phase(message) end

function client:close() end

---@class zenlayer.core
---@field null lightuserdata JSON's null, cjson.null
---@field empty_array userdata JSON's []
---@field _VERSION string
local core = {}

---@param options? zenlayer.Options
---@return zenlayer.core.Client
function core.new(options) end

---@param options zenlayer.SignOptions
---@return table<string, string> headers
function core.sign(options) end

---@param value any
---@return boolean
function core.is_error(value) end

--- The clock that the deadlines of operations are kept by.
---@return number seconds
function core.monotonic() end

--- The head of an answer.
---@param text string
---@param len? integer of the head, with the blank line; all of the text if absent
---@return integer? status
---@return string head its header lines, or what is wrong with it
---@return boolean chunked
---@return boolean close
---@return number? length
function core.parse_http_head(text, len) end

--- From now on the table raises UNKNOWN_METHOD for names that it has not.
---@param methods table
---@param what string "a client"
function core.refuse_unknown_methods(methods, what) end

return core
