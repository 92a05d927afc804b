-- The action lua.vilogate of haproxy.cfg: asks the gateway (forward_auth) about a request that HAProxy holds.

local address = "http://127.0.0.1:4181/.vilogate/auth"

-- What the gateway says of a request; what it does not say is removed.
local said = {
	"x-user", "x-user-id", "x-user-email", "x-user-name", "x-user-roles", "x-user-assertion",
	"x-request-id", "cookie", "authorization",
}

-- Fields of the connection, or written anew.
local own = {
	["host"] = true, ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true, ["keep-alive"] = true,
	["te"] = true, ["trailer"] = true, ["expect"] = true,
}

-- fold is a name as the most careless of backends compares it.
local function fold(name)
	return (string.gsub(string.lower(name), "[^a-z0-9]", "-"))
end

-- lines are the values of a field as a list from 1 on.
local function lines(values)
	local list = {}
	if type(values) ~= "table" then
		return { values }
	end
	for i = 0, #values do
		if values[i] ~= nil then
			list[#list + 1] = values[i]
		end
	end
	return list
end

-- refuse passes an answer on to the client.
local function refuse(txn, answer)
	local reply = txn:reply()
	reply:set_status(answer.status)
	for name, values in pairs(answer.headers) do
		if not own[name] then
			for _, value in ipairs(lines(values)) do
				reply:add_header(name, value)
			end
		end
	end
	if answer.body then
		reply:set_body(answer.body)
	end
	txn:done(reply)
end

core.register_action("vilogate", { "http-req" }, function(txn)
	local sent = txn.http:req_get_headers()
	local asked = {}
	for name, values in pairs(sent) do
		if not own[name] then
			asked[name] = lines(values)
		end
	end
	local host = lines(sent["host"] or {})
	if #host ~= 1 then
		refuse(txn, { status = 400, headers = {} })
		return
	end
	asked["x-forwarded-host"] = host
	asked["x-forwarded-method"] = { txn.sf:method() }
	asked["x-forwarded-uri"] = { txn.sf:pathq() }
	asked["x-forwarded-proto"] = { "https" }
	asked["x-forwarded-for"] = { txn.sf:src() }

	local answer = core.httpclient():get({ url = address, headers = asked, timeout = 10000 })
	if answer == nil or answer.status == nil or answer.status < 200 then
		txn:Warning("vilogate: no answer from " .. address)
		refuse(txn, { status = 503, headers = { ["cache-control"] = "no-store", ["retry-after"] = "5" } })
		return
	end
	if answer.status ~= 200 then
		refuse(txn, answer)
		return
	end
	local overwritten = {}
	for _, name in ipairs(said) do
		overwritten[name] = true
	end
	for name, _ in pairs(sent) do
		if overwritten[fold(name)] then
			txn.http:req_del_header(name)
		end
	end
	for _, name in ipairs(said) do
		for _, value in ipairs(lines(answer.headers[name] or {})) do
			txn.http:req_add_header(name, value)
		end
	end
	-- What there is no room for in a buffer (tune.bufsize) is left out without a word.
	local now = txn.http:req_get_headers()
	for _, name in ipairs(said) do
		if #lines(now[name] or {}) ~= #lines(answer.headers[name] or {}) then
			refuse(txn, { status = 431, headers = { ["cache-control"] = "no-store" } })
			return
		end
	end
	local cookies = lines(answer.headers["set-cookie"] or {})
	if cookies[1] then
		txn:set_var("txn.vilogate_cookie", cookies[1])
	end
	txn:set_var("txn.vilogate_allowed", true)
end)
