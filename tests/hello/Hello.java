// The least that answers with Javalin.
import io.javalin.Javalin;
import java.util.Map;

class Hello {
  public static void main(String[] arguments) {
    Javalin.create(config -> config.routes.get("/", context -> context.json(Map.of("hello", "world"))))
        .start("127.0.0.1", Integer.parseInt(System.getenv("PORT")));
  }
}
