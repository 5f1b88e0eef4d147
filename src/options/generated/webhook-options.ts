// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.

/** Sends events to a URL. */
export interface WebhookOptions {
  /** The name of the webhook. */
  readonly name: string;
  /** The URL that receives the events by `POST`. Its host may be a private address. */
  readonly url: string;
  /**
   * Signs each request, so that the receiver can verify it: at least 24 characters, or `whsec_` and base64 as in
   * Standard Webhooks.
   */
  readonly secret: string;
  /**
   * A second secret that also signs, while receivers change over to `secret`.
   * @default none
   */
  readonly previousSecret?: string;
  /**
   * The body. `'distribution'`: the envelope of distribution's notifications. `'cloudevents'`: CloudEvents 1.0 as
   * JSON.
   * @default 'distribution'
   */
  readonly format?: 'distribution' | 'cloudevents';
  /**
   * The events to send. `push`: a manifest was pushed or restored, or a tag was created or moved. `delete`: a
   * manifest or tag was deleted. `tag`: a tag was created, moved or deleted. `repository`: a repository was created,
   * changed or deleted. `pull` and `quota`: a manifest was pulled, or a quota is nearly used up; these may be lost.
   * `repository` and `quota` need `cloudevents`.
   * @default ["push","delete"]
   */
  readonly events?: readonly ('push' | 'delete' | 'tag' | 'repository' | 'pull' | 'quota')[];
  /**
   * One or several patterns of `repository/image`: `*` matches any characters except `/`, `**` any characters. A
   * repository's name alone matches all its images.
   * @default everything
   */
  readonly names?: string | readonly string[];
  /**
   * Headers to add to each request: `{ Authorization: 'Bearer …' }`. Their values are never shown.
   * @default none
   */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Timeout for the connection, and for the response.
   * @default 10
   */
  readonly timeoutSeconds?: number;
  /**
   * Certificates of a private certificate authority in PEM, trusted in addition to the public authorities.
   * @default none
   */
  readonly ca?: string;
  /**
   * The URL of an outgoing proxy.
   * @default `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide
   */
  readonly proxy?: string;
}
