/** The content that an import stored, and the content that was already there. */
export interface ImportDocument {
  readonly images: readonly {
    /** With the repository. */
    readonly name: string;
    readonly image: string;
    readonly tags: readonly string[];
    readonly digest: string;
    readonly media_type: string;
    readonly platforms: readonly string[];
    readonly size_bytes: number;
  }[];
  readonly manifests: CountedDocument;
  readonly blobs: CountedDocument;
}

/** Numbers of manifests or blobs, and their bytes. */
export interface CountedDocument {
  readonly total: number;
  readonly bytes: number;
  readonly already_present: number;
  readonly already_present_bytes: number;
}
