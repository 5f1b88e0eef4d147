/** A blob or manifest in a document. */
export interface ContentDocument {
  readonly digest: string;
  readonly media_type: string;
  readonly size_bytes: number;
}

/** Texts by name: annotations and labels. */
export type TextsDocument = Readonly<Record<string, string>>;

/** The config of a container image, as far as it could be read. */
export interface ConfigDocument extends ContentDocument {
  readonly created?: string;
  readonly author?: string;
  readonly platform?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly user?: string;
  readonly working_dir?: string;
  readonly exposed_ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly env?: readonly string[];
  readonly labels?: TextsDocument;
  readonly stop_signal?: string;
}

/** A manifest and what it names. */
export interface ManifestDocument {
  readonly member?: string;
  readonly digest: string;
  readonly media_type: string;
  readonly type: string;
  readonly artifact_type?: string;
  readonly manifest_size_bytes: number;
  readonly size_bytes: number;
  readonly pushed_at: string;
  readonly tags: readonly string[];
  /** The digests of the manifests that name this one. */
  readonly named_by: readonly string[];
  readonly platforms: readonly {
    readonly platform: string;
    readonly digest: string;
    readonly size_bytes: number;
    readonly stored: boolean;
  }[];
  readonly attestations: readonly (ContentDocument & {
    readonly about?: string;
    readonly predicate_types: readonly string[];
  })[];
  readonly config?: ConfigDocument;
  readonly layers: readonly (ContentDocument & {
    readonly created_by?: string;
    /** The number of other images that have the layer. */
    readonly elsewhere: number;
  })[];
  readonly referrers: readonly (ContentDocument & {
    readonly artifact_type?: string;
    readonly tag?: string;
    readonly annotations: TextsDocument;
  })[];
  readonly subject?: string;
  readonly annotations: TextsDocument;
  /** The bytes of the manifest as text. */
  readonly raw: string;
}
