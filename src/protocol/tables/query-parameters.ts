/** A query parameter of an operation in an endpoint table. */
export interface QueryParameter {
  readonly name: string;
  readonly description: string;
  /** Absent: a text. `texts` may be repeated. A list contains the valid values. */
  readonly takes?: 'texts' | 'count' | 'boolean' | 'digest' | 'name' | readonly string[];
  readonly required?: true;
  readonly default?: string | boolean;
}

type Query = readonly QueryParameter[];

/** The parameters of a list. */
export const pageQuery: Query = [
  { name: 'n', description: 'The maximum number of items.', takes: 'count' },
  { name: 'last', description: 'The last item of the previous page.' },
];

const cursor: QueryParameter = {
  name: 'cursor',
  description: 'The position where the next page begins, from the `Link` of the previous page.',
};

/** The parameters of the catalog. */
export const imagePageQuery: Query = [...pageQuery, cursor];

/** The sort keys of lists of images. */
export const imageSorts = ['name', 'tags', 'size', 'pushed_at', 'pulled_at', 'pulls'] as const;
/** The sort keys of lists of tags. */
export const tagSorts = ['name', 'size', 'pushed_at', 'pulled_at', 'pulls'] as const;

const inOrder = (sorts: readonly string[]): Query => [
  ...pageQuery,
  cursor,
  { name: 'q', description: 'A part of the name, or a pattern of the whole name with `*`.' },
  {
    name: 'sort',
    description: 'The order of the list. A leading `-` reverses it.',
    takes: sorts.flatMap((sort) => [sort, `-${sort}`]),
    default: 'name',
  },
];

/** The parameters of `image.list`. */
export const imageListQuery: Query = [
  ...inOrder(imageSorts),
  {
    name: 'unique',
    description: '`true`: also count the bytes that no other image has. A page then has at most 100 images.',
    takes: 'boolean',
    default: false,
  },
];

/** The parameters of `image.listAll`. */
export const allImagesQuery: Query = [
  { name: 'repository', description: 'Only images of this repository.' },
  ...imageListQuery,
];

/** The parameters of `image.tags`. */
export const tagListQuery: Query = [
  ...inOrder(tagSorts),
  {
    name: 'untagged',
    description: '`true`: list the manifests that no tag, no index and no subject keeps, by digest.',
    takes: 'boolean',
    default: false,
  },
];

/** The parameters of `image.manifest`. */
export const manifestQuery: Query = [{ name: 'reference', description: 'A tag or digest.', default: 'latest' }];

/** The parameters of `image.history`. */
export const historyQuery: Query = [
  { name: 'tag', description: 'The tag. It may be deleted.', required: true },
  { name: 'n', description: 'The maximum number of moves.', takes: 'count' },
  { name: 'last', description: 'The number of the last move of the previous page.' },
];

/** The parameters of `image.blob`. */
export const blobQuery: Query = [
  { name: 'digest', description: 'The digest of a manifest or blob.', takes: 'digest', required: true },
];

/** The parameter of all operations that pull, and of the catalog. */
export const namespaceQuery: QueryParameter = {
  name: 'ns',
  description: 'The registry that the client uses this one as a mirror of: `docker.io`.',
};

/** The parameters of `token.get`. */
export const tokenQuery: Query = [
  {
    name: 'scope',
    description: '`repository:<name>:pull,push`. Can be repeated, or contain several scopes separated by spaces.',
    takes: 'texts',
  },
  { name: 'service', description: 'The `service` of the challenge.' },
  { name: 'offline_token', description: '`true`: also return a refresh token.' },
];

/** The parameters of `upload.start`. */
export const uploadStartQuery: Query = [
  { name: 'digest', description: 'The digest of the blob, if the body is the whole blob.', takes: 'digest' },
  { name: 'mount', description: 'The digest of a blob in another image.', takes: 'digest' },
  { name: 'from', description: 'The name of that image.', takes: 'name' },
  { name: 'digest-algorithm', description: 'The algorithm that verifies the blob.', takes: ['sha256', 'sha512'] },
];

/** The parameters of `upload.complete`. */
export const uploadCompleteQuery: Query = [
  { name: 'digest', description: 'The digest of the whole blob.', takes: 'digest', required: true },
];

/** The parameters of `manifest.put`. */
export const manifestPutQuery: Query = [
  { name: 'tag', description: 'A tag for a manifest that is pushed by digest. Can be repeated.', takes: 'texts' },
];

/** The parameters of `referrer.list`. */
export const referrerQuery: Query = [
  { name: 'artifactType', description: 'Only referrers of this type. Can be repeated.', takes: 'texts' },
  ...pageQuery,
];

/** The parameters of `archive.import`. */
export const importQuery: Query = [
  { name: 'image', description: 'The image to import into, instead of the names in the archive.', takes: 'name' },
  {
    name: 'tag',
    description: 'A tag to use instead of those in the archive. Can be repeated.',
    takes: 'texts',
  },
];

/** The parameters of `archive.export`. */
export const exportQuery: Query = [
  {
    name: 'name',
    description: '`team/app:1.2` or `team/app@sha256:…`. Repeat it for each image.',
    takes: 'texts',
  },
  { name: 'image', description: 'An image, together with `reference`.', takes: 'name' },
  { name: 'reference', description: 'A tag or digest of `image`. Can be repeated.', takes: 'texts' },
  { name: 'platform', description: 'Export only this platform: `linux/amd64`.' },
  { name: 'as', description: 'The name of the image in the archive.' },
];

/** The parameter of operations that can only count. */
export const dryRunQuery: Query = [
  { name: 'dry_run', description: '`true`: count, but delete nothing.', takes: 'boolean', default: false },
];

/** The parameters of `cache.refresh`. */
export const refreshQuery: Query = [
  { name: 'image', description: 'The image.', takes: 'name', required: true },
  { name: 'tag', description: 'The tag of `image`.', required: true },
];

/** The parameters of `cache.purge`. */
export const purgeQuery: Query = [
  { name: 'image', description: 'Purge only this image.', takes: 'name' },
  { name: 'tag', description: 'Purge only this tag of `image`.' },
  ...dryRunQuery,
];

/** The parameters of `explain.get`. */
export const explainQuery: Query = [
  { name: 'name', description: 'Repository and image, as clients name them.', takes: 'name', required: true },
  { name: 'reference', description: 'A tag or digest.', default: 'latest' },
  { name: 'ns', description: 'Explain a request with this `ns` parameter.' },
  { name: 'host', description: 'Explain a request to this host.' },
];

/** The parameters of `immutability.get`. */
export const immutabilityQuery: Query = [{ name: 'tag', description: 'The tag.', required: true }];

/** The parameters of `trash.empty`. */
export const emptyTrashQuery: Query = [
  { name: 'image', description: 'Only this image.', takes: 'name' },
  ...dryRunQuery,
];

/** The parameters of `job.list`. */
export const jobPageQuery: Query = [
  { name: 'kind', description: 'Only jobs of this kind.' },
  { name: 'n', description: 'The maximum number of jobs.', takes: 'count' },
];

/** The parameters of `event.list`. */
export const eventsQuery: Query = [
  { name: 'after', description: 'Only events after this cursor, the oldest first. `0`: from the first one.' },
  { name: 'before', description: 'Only events before this cursor, the newest first.' },
  { name: 'types', description: 'Only events of this type: `tag.moved`. Can be repeated.', takes: 'texts' },
  { name: 'repository', description: 'Only events of this repository.' },
  { name: 'image', description: 'Only events of images with this name, without the repository.' },
  { name: 'by', description: 'Only changes of the principal with this id.' },
  { name: 'n', description: 'The maximum number of events.', takes: 'count' },
];

/** The parameters of `job.plan`. */
export const planPageQuery: Query = [
  { name: 'n', description: 'The maximum number of items.', takes: 'count' },
  { name: 'last', description: 'The number of items before the page.', takes: 'count' },
];

/** The parameters of `access.check`. */
export const accessCheckQuery: Query = [
  { name: 'user', description: 'The name of a user.' },
  {
    name: 'groups',
    description: 'A group of the user, besides those that the registry knows of. Can be repeated.',
    takes: 'texts',
  },
  { name: 'anonymous', description: '`true`: check what someone may do who did not log in.', takes: 'boolean' },
  {
    name: 'image',
    description: 'Repository and image, as clients name them, or only a repository. Absent: the whole registry.',
    takes: 'name',
  },
  {
    name: 'permission',
    description: 'Check only this permission.',
    takes: ['pull', 'push', 'delete', 'monitor', 'admin'],
  },
];

/** The parameters of `session.list` and `session.endAll`. */
export const sessionsQuery: Query = [{ name: 'user', description: 'The name of a user.' }];

/** The figures that `statistics.get` returns. */
export const statisticsSeries = [
  'bytes',
  'images',
  'pulls',
  'pushes',
  'hit',
  'miss',
  'stale',
  'upstream_bytes',
] as const;
/** The lengths of the periods that `statistics.get` returns. */
export const statisticsSteps = ['hour', 'day'] as const;

/** The parameters of `statistics.get`. */
export const statisticsQuery: Query = [
  {
    name: 'series',
    description: 'Only these figures: `bytes`, `images`, `pulls`, `pushes`, `hit`, `miss`, `stale`, `upstream_bytes`.',
    takes: 'texts',
  },
  { name: 'repository', description: 'Only figures of this repository.' },
  { name: 'since', description: 'Only periods since this time, in RFC 3339 format. Absent: all that are kept.' },
  {
    name: 'step',
    description: 'The length of a period. Hours are kept for 31 days, days for two years.',
    takes: statisticsSteps,
    default: 'hour',
  },
  {
    name: 'split',
    description: '`true`: also return the figures of each repository.',
    takes: 'boolean',
    default: false,
  },
];

/** The parameters of `request.list`. */
export const requestsQuery: Query = [
  { name: 'after', description: 'Only requests after this cursor. Absent: the latest ones.' },
  { name: 'n', description: 'The maximum number of requests.', takes: 'count' },
];
