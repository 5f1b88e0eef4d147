import type { RequestUrl } from '../../protocol/upstream/redirects.js';

/**
 * A URL of the upstream. Its path comes from names that are parsed, so it is what a `URL` would make of it. A `URL` takes
 * several times as long to build.
 */
export class UpstreamUrl implements RequestUrl {
  readonly origin: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly host: string;
  readonly port: string;
  readonly pathname: string;
  readonly search: string;

  /** @param target a path, with a query if there is one. */
  constructor(base: RequestUrl, target: string) {
    const end = target.indexOf('?');
    this.origin = base.origin;
    this.protocol = base.protocol;
    this.hostname = base.hostname;
    this.host = base.host;
    this.port = base.port;
    this.pathname = end < 0 ? target : target.slice(0, end);
    this.search = end < 0 ? '' : target.slice(end);
  }

  get href(): string {
    return this.origin + this.pathname + this.search;
  }
}
