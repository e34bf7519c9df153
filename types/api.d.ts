// What ComfyUI's /scripts/api.js gives, in the parts that the pack uses.
export declare const api: {
  apiURL(route: string): string;
  fetchApi(route: string, options?: RequestInit): Promise<Response>;
  addEventListener(name: "pusa.director", listener: (event: CustomEvent<import("../js/director_record.js").RunEvent>) => void): void;
  addEventListener(name: "execution_success" | "execution_error" | "execution_interrupted", listener: () => void): void;
};
