import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { readSessionCookie, writeSessionCookie } from '../../../src/http/clients/session-cookie.js';
import type { ClientInfo } from '../../../src/ports/access/access.js';

const withHeaders = (headers: IncomingHttpHeaders): IncomingMessage => ({ headers }) as IncomingMessage;
const at = (origin: string | undefined): ClientInfo => ({ address: '127.0.0.1', host: 'r.example', origin });
const plain = at('http://r.example');
const secure = at('https://r.example');

describe('the session cookie of a request', () => {
  it.each<[client: ClientInfo, cookie: string | undefined, value: string | undefined]>([
    [plain, undefined, undefined],
    [plain, '', undefined],
    [plain, 'artifactapi=a', 'a'],
    [plain, 'theme=dark; artifactapi=a; lang=de', 'a'],
    [plain, 'artifactapi=a=b', 'a=b'],
    [plain, ' artifactapi = a ', 'a'],
    [plain, 'artifactapi', undefined],
    [plain, 'xartifactapi=a; artifactapi2=b', undefined],
    [plain, 'ArtifactAPI=a', undefined],
    [secure, '__Secure-artifactapi=a', 'a'],
    [at(undefined), 'artifactapi=a', 'a'],
    // Over https, any page in the network could have set the cookie without the prefix.
    [secure, 'artifactapi=a', undefined],
    [secure, 'artifactapi=planted; __Secure-artifactapi=a', 'a'],
    [plain, '__Secure-artifactapi=a', undefined],
    // A page of another subdomain set one of these.
    [plain, 'artifactapi=a; artifactapi=planted', undefined],
    [plain, 'artifactapi=planted; theme=dark; artifactapi=a', undefined],
    [plain, 'artifactapi=; artifactapi=a', undefined],
    [plain, 'artifactapi=a; artifactapi=a', undefined],
    [secure, '__Secure-artifactapi=planted; __Secure-artifactapi=a', undefined],
  ])('at %j in %j is %j', (client, cookie, value) => {
    expect(readSessionCookie(withHeaders({ cookie }), client)).toBe(value);
  });
});

describe('Set-Cookie', () => {
  it.each<[client: ClientInfo, origin: string | undefined, value: string | undefined, header: string]>([
    [plain, undefined, 'a', 'artifactapi=a; HttpOnly; SameSite=Strict'],
    [plain, 'http://r.example', 'a', 'artifactapi=a; HttpOnly; SameSite=Strict'],
    [plain, 'null', 'a', 'artifactapi=a; HttpOnly; SameSite=Strict'],
    [at(undefined), undefined, 'a', 'artifactapi=a; HttpOnly; SameSite=Strict'],
    [secure, undefined, 'a', '__Secure-artifactapi=a; HttpOnly; SameSite=Strict; Secure'],
    [secure, 'https://r.example', 'a', '__Secure-artifactapi=a; HttpOnly; SameSite=Strict; Secure'],
    // A proxy that neither publicUrl nor trustedProxies names ended TLS.
    [plain, 'https://r.example', 'a', 'artifactapi=a; HttpOnly; SameSite=Strict; Secure'],
    [at(undefined), 'https://r.example', 'a', 'artifactapi=a; HttpOnly; SameSite=Strict; Secure'],
    [plain, undefined, undefined, 'artifactapi=; HttpOnly; SameSite=Strict; Max-Age=0'],
    [plain, 'https://r.example', undefined, 'artifactapi=; HttpOnly; SameSite=Strict; Secure; Max-Age=0'],
    [secure, undefined, undefined, '__Secure-artifactapi=; HttpOnly; SameSite=Strict; Secure; Max-Age=0'],
  ])('at %j with Origin %j and the value %j is %j', (client, origin, value, header) => {
    expect(writeSessionCookie(withHeaders({ origin }), client, value)).toBe(header);
  });
});
