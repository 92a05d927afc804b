// An HTTP server that answers from a cache of Node's, and else from a gateway:
//
//	node cache.js NPM private|shared GATEWAY CA FOLDER
//
// private is make-fetch-happen, with which npm fetches: one cache of a program that asks for many people. shared is
// http-cache-semantics, RFC 9111 as Node programs have it, in the place of a proxy. Both come with npm.
'use strict'

const dns = require('dns')
const fs = require('fs')
const http = require('http')
const https = require('https')
const { createRequire } = require('module')

const [npm, kind, gateway, caFile, folder] = process.argv.slice(2)
const fromNPM = createRequire(fs.realpathSync(npm))
const [address, port] = gateway.split(':')
const ca = fs.readFileSync(caFile, 'utf8')
const lookup = (host, options, done) => dns.lookup(address, options, done)

function privateCache () {
  const fetch = fromNPM('make-fetch-happen').defaults({ cachePath: folder, ca, dns: { lookup }, redirect: 'manual' })
  return async (url, headers) => {
    const response = await fetch(url, { headers })
    const body = await response.text() // at whose end it is kept
    return { status: response.status, headers: response.headers.raw(), body, hit: response.headers.get('x-local-cache-status') === 'hit' }
  }
}

function sharedCache () {
  const CachePolicy = fromNPM('http-cache-semantics')
  const agent = new https.Agent({ ca, lookup, keepAlive: true })
  const kept = new Map() // lists of policy and body, by URL
  const ask = (url, headers) => new Promise((resolve, reject) => {
    https.get(url, { agent, headers }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part) => { body += part })
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body, hit: false }))
      response.on('error', reject)
    }).on('error', reject)
  })
  return async (url, headers) => {
    const request = { method: 'GET', url, headers }
    for (const { policy, body } of kept.get(url) || []) {
      if (policy.satisfiesWithoutRevalidation(request)) {
        return { status: 200, headers: policy.responseHeaders(), body, hit: true }
      }
    }
    const answer = await ask(url, headers)
    const policy = new CachePolicy(request, answer, { shared: true })
    if (answer.status === 200 && policy.storable()) {
      kept.set(url, [...(kept.get(url) || []), { policy, body: answer.body }])
    }
    return answer
  }
}

const get = { private: privateCache, shared: sharedCache }[kind]()

http.createServer(async (request, response) => {
  const headers = {}
  for (const name of ['cookie', 'authorization']) {
    if (request.headers[name]) headers[name] = request.headers[name]
  }
  try {
    const answer = await get(`https://app.viloforge.test:${port}${request.url}`, headers)
    response.setHeader('X-Cache', answer.hit ? 'HIT' : 'MISS')
    for (const name of ['set-cookie', 'cache-control', 'vary']) {
      if (answer.headers[name]) response.setHeader(name, answer.headers[name])
    }
    response.writeHead(answer.status)
    response.end(answer.body)
  } catch (error) {
    response.writeHead(502)
    response.end(String(error.stack))
  }
}).listen(0, '127.0.0.1', function () { console.log('cache of', kind, 'at', this.address().port) })
