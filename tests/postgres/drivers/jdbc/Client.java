import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/**
 * Runs its arguments one after the other in one session of pgJDBC: SQL, or "sleep SECONDS". Prints what a query answers, or
 * the SQLSTATE of what failed.
 */
public final class Client {
  public static void main(String[] words) throws InterruptedException {
    try (Connection connection = DriverManager.getConnection(System.getenv("DATABASE_URL"));
        Statement statement = connection.createStatement()) {
      for (String word : words) {
        if (word.startsWith("sleep ")) {
          Thread.sleep((long) (1000 * Double.parseDouble(word.substring(6))));
        } else if (statement.execute(word)) {
          ResultSet rows = statement.getResultSet();
          while (rows.next()) {
            System.out.println(rows.getString(1));
          }
        }
      }
    } catch (SQLException problem) {
      System.out.println(problem.getSQLState());
      System.exit(1);
    }
  }
}
