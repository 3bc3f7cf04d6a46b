// Uses a server through a client that is generated from its OpenAPI document, and
// prints what it saw as one line of JSON.
//
//   node smoke.js SERVER CONNECTED NEW    with the key in EVERGRANT_API_KEY
//
// CONNECTED is the ref of a connection that works, NEW one that is not there yet.
import createClient from 'openapi-fetch';
import type { components, paths } from './generated/evergrant.js';

type Problem = components['schemas']['Problem'];
type Connection = components['schemas']['Connection'];

const [server, connected, fresh] = process.argv.slice(2);
if (!server || !connected || !fresh) {
  throw new Error('usage: node smoke.js SERVER CONNECTED NEW');
}

const evergrant = createClient<paths>({
  baseUrl: server,
  headers: { Authorization: `Bearer ${process.env['EVERGRANT_API_KEY']}` },
  querySerializer: { object: { style: 'form', explode: true } },
});

// Tells what went wrong if there is no answer.
function must<T>(answer: { data?: T; error?: Problem; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.url}: ${answer.error?.code}: ${answer.error?.detail}`);
  }
  return answer.data;
}

// The compiler knows every state there is.
function works(c: Connection): boolean {
  switch (c.state) {
    case 'connected':
    case 'degraded':
      return true;
    case 'pending':
    case 'needs_reauthorization':
    case 'disconnected':
      return false;
  }
}

async function everyConnection(): Promise<Connection[]> {
  const all: Connection[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = must(
      await evergrant.GET('/v1/connections', {
        params: { query: { limit: 1, state: ['connected', 'pending'], ...(cursor ? { cursor } : {}) } },
      }),
    );
    all.push(...page.data);
    cursor = page.next_cursor;
  }
  return all;
}

const path = { ref: connected };

const link = must(
  await evergrant.POST('/v1/links', {
    params: { header: { 'Idempotency-Key': 'smoke' } },
    body: { ref: fresh, business_name: 'Quay Bar', landing: false },
  }),
);
const again = must(
  await evergrant.POST('/v1/links', {
    params: { header: { 'Idempotency-Key': 'smoke' } },
    body: { ref: fresh, business_name: 'Quay Bar', landing: false },
  }),
);

const changed = must(await evergrant.PATCH('/v1/connections/{ref}', { params: { path }, body: { name: 'Café Nord', tags: { region: 'eu' } } }));
const tagged = must(await evergrant.GET('/v1/connections', { params: { query: { tags: { 'tag.region': 'eu' } } } }));
const connections = await everyConnection();

const token = must(await evergrant.GET('/v1/connections/{ref}/token', { params: { path, query: { min_valid: '30s' } } }));
const next = must(await evergrant.POST('/v1/connections/{ref}/token/reject', { params: { path }, body: { fingerprint: token.fingerprint } }));
const coverage = must(await evergrant.GET('/v1/connections/{ref}/locations', { params: { path } }));
const events = must(await evergrant.GET('/v1/events', { params: { query: { type: ['connection.*', 'grant.issued'], order: 'asc' } } }));

// A problem is typed, too: what is there on some problems only may be undefined.
const { error: problem, response } = await evergrant.GET('/v1/connections/{ref}/token', { params: { path: { ref: fresh } } });
if (problem === undefined) {
  throw new Error('a business that has authorized nothing has a token');
}
const actBy: 'merchant' | 'operator' | 'provider' | 'nobody' = problem.act_by;
const { error: invalid } = await evergrant.POST('/v1/links', { body: { ref: 'nowhere', ttl: 'soon' } });

console.log(
  JSON.stringify({
    link: { purpose: link.purpose, state: link.state, url: link.url !== undefined, again: again.id === link.id },
    changed: changed.name,
    tagged: tagged.data.map((c) => c.ref),
    connections: Object.fromEntries(connections.map((c) => [c.ref, works(c)])),
    token: { type: token.token_type, lives: token.expires_in > 0, of: token.connection.key, state: token.connection.state },
    rejected: { same: next.fingerprint === token.fingerprint, warnings: next.warnings },
    locations: coverage.locations.map((l) => l.name),
    events: events.data.map((e) => `${e.type} ${e.ref}`),
    problem: { status: response.status, kind: response.headers.get('content-type'), code: problem.code, actBy, where: problem.reauthorize_url?.slice(0, 4) },
    invalid: invalid?.errors?.map((e) => e.field),
  }),
);
