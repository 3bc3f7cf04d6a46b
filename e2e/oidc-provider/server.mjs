// A real authorization server with refresh-token rotation: its reuse detection
// revokes the whole grant. It listens on a free port of 127.0.0.1 and tells the
// test what happens, one JSON object a line on standard output. Whoever logs in is
// who they say; what is known of them may be given as JSON: {"anna":{"email":…}}.
// Behind another address, ISSUER says which.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [redirectURI, accessTTL, people = '{}'] = process.argv.slice(2);
const known = JSON.parse(people);
const tell = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + '\n');

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const listening = `http://127.0.0.1:${server.address().port}`;
  const issuer = process.env.ISSUER ?? listening;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'evergrant',
      client_secret: 'a secret with : and % and + in it, because Basic encodes them',
      redirect_uris: [redirectURI],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    }],
    cookies: { keys: ['only for this test'] },
    features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'], groups: ['groups'] },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ ...known[id], sub: id }) }),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: { AccessToken: Number(accessTTL), RefreshToken: 86400, Grant: 86400, Interaction: 600, Session: 600 },
  });
  provider.on('grant.success', (ctx) => tell('issued', { grant_type: ctx.oidc.params.grant_type }));
  provider.on('grant.error', (ctx, err) => tell('refused', { grant_type: ctx.oidc.params?.grant_type, error: err.error, detail: err.error_detail }));
  provider.on('grant.revoked', () => tell('revoked'));
  provider.on('server_error', (ctx, err) => tell('server_error', { error: String(err) }));
  server.on('request', provider.callback());
  tell('listening', { issuer: listening });
});
process.on('SIGTERM', () => process.exit(0));
process.stdin.resume().on('end', () => process.exit(0)); // the test has gone
